"""Requests to one session, and the streams of their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .engine.cancel import CancelToken
from .engine.generation import Allowed, Generation, Request
from .engine.pace import Paced
from .engine.prefix import PrefixCache
from .engine.sampling import GREEDY, Sampling
from .engine.turns import Turns
from .errors import ClosedError
from .stream import Stream, Usage
from .text.healing import Healing, Spellings
from .text.limits import check_stops
from .text.lines import LINE_END
from .text.prompts import Layouts
from .text.stops import AnswerTrimmer, Scanner, StopScanner
from .text.tokens import Tokens, Utf8Stream

# A request that comes meanwhile waits for one chunk; int4 reads about as fast in so small ones.
WARM_TOKENS = 32


class Dispatcher:
    """Starts generations on one session: with its caches, its pace, and requests before warming."""

    def __init__(
        self,
        session: Paced,
        caches: PrefixCache,
        turns: Turns,
        tokens: Tokens,
        layouts: Layouts,
        *,
        closed: CancelToken,
        lookup: bool,
    ) -> None:
        """Draft new ids from the prompt's own when `lookup`; `closed` ends all there is."""
        self._closed = closed
        self._session, self._caches, self._turns = session, caches, turns
        self._tokens, self._layouts, self.lookup = tokens, layouts, lookup
        self._spellings = Spellings(tokens, layouts.special_ids)

    def request(
        self,
        ids: list[int],
        max_new: int,
        sampling: Sampling,
        cancel: CancelToken | None,
        *,
        allow_empty: bool = True,
    ) -> Request:
        """Return a request that ends at any special token; the caller replaces what differs."""
        token, closed = cancel or CancelToken(), self._closed
        return Request(
            ids=ids,
            sampling=sampling,
            max_new=max_new,
            stop_ids=self._layouts.special_ids,
            forbidden_first=() if allow_empty else (self._layouts.end_id,),
            texts=[ids] if self.lookup else None,
            costs=self._session.costs,
            cancelled=lambda: token.cancelled or closed.cancelled,
        )

    def stream(
        self,
        request: Request,
        stop: Sequence[str],
        scanners: Sequence[Scanner] = (),
        *,
        skip: int = 0,
        trimmer: AnswerTrimmer | None = None,
        line_end: str = LINE_END,
    ) -> Stream:
        """Return the text of a request, without its first `skip` bytes; nothing is computed yet.

        Raises:
        X: when the prompt is empty or does not fit the context.

        """
        self._check_open()
        check_stops(stop)
        generation = Generation(self._session, self._caches, request)
        decoder = Utf8Stream(self._tokens, skip)
        chain = [StopScanner(stop), *scanners]
        return Stream(generation, decoder, chain, trimmer, line_end, self._turns.request())

    def warm(self, ids: list[int], cancel: CancelToken | None) -> Usage:
        """Evaluate a prompt ahead, unless a request comes; return how much of it was cached."""
        self._check_open()
        preempted, caller = CancelToken(), cancel or CancelToken()
        request = Request(
            ids,
            GREEDY,
            0,
            frozenset(),
            cancelled=lambda: preempted.cancelled or caller.cancelled or self._closed.cancelled,
            chunk_tokens=WARM_TOKENS,
        )
        generation = Generation(self._session, self._caches, request)
        with self._turns.warming(preempted):
            for _ in generation:
                pass
        return Usage(len(ids), generation.cached, 0)

    def _check_open(self) -> None:
        if self._closed.cancelled:
            raise ClosedError

    def healing(self, typed: bytes) -> Allowed | None:
        """Return what holds the first new tokens to the bytes `typed`, if there are any."""
        if not typed:
            return None
        self._spellings.prepare()
        return Healing(typed, self._tokens, self._spellings).allowed

    def fits(self, prompt_ms: float | None) -> Callable[[list[int]], bool]:
        """Return whether a prompt can be evaluated in time, less what is cached of it."""
        if prompt_ms is None:
            return lambda ids: True
        within = self._session.tokens_within(prompt_ms)
        return lambda ids: self._caches.missing(ids) <= within
