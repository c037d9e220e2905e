"""Generation over token ids.

The engine sees numbers only: text, prompts and stop strings live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..bundle.gpu import CANDIDATES
from ..errors import BundleError, ClosedError, ContextError, PromptError
from .cache import KvCache
from .costs import StepCosts
from .logprobs import Scored, score, score_all
from .lookup import LONGEST, NO_ID, Lookup
from .prefix import PrefixCache
from .sampling import Sampler, Sampling
from .session import Session

# A request can be cancelled between chunks; larger ones were no faster on any CPU measured, and
# the scores of one layer take 4 * heads * chunk * context bytes.
CHUNK_TOKENS = 128
GPU_CHUNK_TOKENS = 512  # there a launch costs as much for one token as for many

Allowed = Callable[[Sequence[int]], npt.NDArray[np.int64] | None]
Finish = Literal["", "stop", "length", "unsure", "time", "cancelled"]


@dataclass(frozen=True)
class Request:
    """One sequence to continue.

    Args:
        ids: the prompt; never empty.
        sampling: how tokens are drawn.
        max_new: the most tokens to generate.
        stop_ids: end the sequence and are not part of it.
        forbidden_first: ids that the first token must not be, once `allowed` has returned None.
        cancelled: called before each chunk and each step; True ends the text.
        texts: where drafts of new ids come from, the text that goes on last; None for no drafts.
        costs: what a step with a draft costs; None assumes those of a typical machine.
        allowed: returns which ids may follow some new ones; called until it returns None, which is
            any id.
        least_probability: the text ends before the first token less likely than that.
        expired: called like `cancelled`; True ends the text because its time is over.
        chunk_tokens: tokens of the prompt that one step evaluates; None suits the device.
        top_logprobs: record the log-probability of each new token, beside so many of the likeliest;
            None records nothing.
        score_prompt: Score the prompt's tokens too. Disables prefix reuse: the whole prompt is
            evaluated.

    """

    ids: Sequence[int]
    sampling: Sampling
    max_new: int
    stop_ids: frozenset[int]
    forbidden_first: tuple[int, ...] = ()
    cancelled: Callable[[], bool] = bool
    texts: Sequence[Sequence[int]] | None = None
    costs: StepCosts | None = None
    allowed: Allowed | None = None
    least_probability: float = 0.0
    expired: Callable[[], bool] = bool
    chunk_tokens: int | None = None
    top_logprobs: int | None = None
    score_prompt: bool = False


class Generation:
    """Iterate for the new ids; `finish`, `cached` and the counts are whole once it has ended."""

    def __init__(self, session: Session, caches: PrefixCache, request: Request) -> None:
        """Take no step yet.

        Raises:
            PromptError: when the prompt is empty or leaves no room for a new token.
            BundleError: when the tokenizer has made ids that the model has not.

        """
        context = session.sizes.context
        if not request.ids:
            raise PromptError("the prompt is empty; expected at least one token")
        if len(request.ids) >= context:
            raise ContextError(len(request.ids), context)
        _check_ids(request, session.sizes.vocabulary)
        self.request = request
        self.cached = self.drafted = self.accepted = 0
        self.new_ids: list[int] = []
        self.scores: list[Scored] = []  # of the new ids, with `top_logprobs`
        self.prompt_scores: list[Scored] = []  # of the prompt's second id and those after it
        self.finish: Finish = ""
        self._free = False  # whether any token may come next, and one did
        self.closing = False  # set from outside to end it early
        self._session, self._caches = session, caches
        self._limit = min(request.max_new, context - len(request.ids))
        self._sampler, self._history = Sampler(request.sampling), list(request.ids)

    def __iter__(self) -> Generator[int]:
        start = self.request.ids[:1] if self.request.score_prompt else self.request.ids
        cache = self._caches.take(start)
        try:
            self.cached = len(cache.ids)
            yield from self._run(cache)
        except ClosedError:  # by another thread
            pass
        finally:
            cache.candidates_suffice = False
            self._caches.put(cache)
            self.finish = self.finish or "cancelled"

    def _run(self, cache: KvCache) -> Iterator[int]:
        lookup = self._new_lookup(cache)
        logits = self._prefill(cache)
        if logits is None or self._limit == 0:
            self.finish = self.finish or "length"
            return
        draft: list[int] = []
        while True:
            accepted = yield from self._choose(logits, draft, lookup)
            left = self._limit - len(self.new_ids)
            if self.finish or left == 0:
                self.finish = self.finish or "length"
                return
            cache.rewind(len(self._history) - 1)
            lookup.learn(len(draft), accepted)
            draft = lookup.draft(left - 1)
            ids = np.array([self._history[-1], *draft], np.int64)
            cache.candidates_suffice = self._needs_candidates_only()
            logits = self._session.step(ids, cache, len(ids))
            self.drafted += len(draft)

    def _choose(
        self, logits: npt.NDArray[np.float32], draft: list[int], lookup: Lookup
    ) -> Generator[int, None, int]:
        """Yield ids as long as they are the draft's, and one more; return how many were accepted.

        The first row of logits [1 + len(draft), V] is for the next id, each other row for the id
        after one of the draft's. Every id is drawn from the logits that it would have had without a
        draft, so drafts change nothing but speed.
        """
        request = self.request
        accepted = 0
        for row, drafted in zip(logits, [*draft, NO_ID], strict=True):
            if self._interrupted():
                break
            picked = self._pick(row)
            if picked in request.stop_ids or self._unsure(row, picked):
                self.finish = "stop" if picked in request.stop_ids else "unsure"
                break
            if request.top_logprobs is not None:
                real = row[: self._session.sizes.tokens]
                self.scores.append(score(real, picked, request.top_logprobs))
            self.new_ids.append(picked)
            self._history.append(picked)
            lookup.add(picked)
            accepted += picked == drafted
            self.accepted += picked == drafted
            yield picked
            if picked != drafted:
                break
        return accepted

    def _pick(self, row: npt.NDArray[np.float32]) -> int:
        real = row[: self._session.sizes.tokens]  # the rest are padding rows
        if self._free:
            return self._sampler.pick(real, self._history)
        allowed = self.request.allowed(self.new_ids) if self.request.allowed else None
        self._free = allowed is None
        forbidden = self.request.forbidden_first if self._free else ()
        return self._sampler.pick(real, self._history, forbidden, allowed)

    def _needs_candidates_only(self) -> bool:
        """Whether the greatest logits are all that the next id is drawn from, and told of it."""
        request = self.request
        scored = request.score_prompt or request.top_logprobs is not None
        anything = self._free or request.allowed is None
        most = CANDIDATES - len(request.forbidden_first)
        plain = anything and not scored and request.least_probability == 0
        return plain and request.sampling.needs_only(most)

    def _new_lookup(self, cache: KvCache) -> Lookup:
        """Return a lookup in the request's texts, and in what was last generated here.

        Special tokens between the text before the cursor and the last answer are left out, so
        that the one goes on as the other: who types a suggestion gets the rest of it again.
        """
        if self.request.texts is None:
            return Lookup((), self._limit, most=0)
        before = [*cache.ids[-LONGEST:], *cache.forgotten]
        generated = [token for token in before if token not in self.request.stop_ids]
        return Lookup(
            [*generated, *_apart(self.request.texts)],
            self._limit,
            generated=len(generated),
            costs=self.request.costs,
        )

    def _unsure(self, row: npt.NDArray[np.float32], picked: int) -> bool:
        least = self.request.least_probability
        if least == 0 or not self._free:
            return False
        real = row[: self._session.sizes.tokens].astype(np.float64)
        return bool(np.exp(real - real[picked]).sum() * least > 1)

    def _interrupted(self) -> bool:
        """Whether to end here; `finish` then says why."""
        if self.closing or self.request.cancelled():
            self.finish = "cancelled"
        elif self.request.expired():
            self.finish = "time"
        return bool(self.finish)

    def _prefill(self, cache: KvCache) -> npt.NDArray[np.float32] | None:
        """Run the prompt chunk by chunk; return the last logits, or None when interrupted."""
        ids = np.asarray(self.request.ids, np.int64)
        logits = None
        cache.candidates_suffice = self._needs_candidates_only()
        usual = GPU_CHUNK_TOKENS if self._session.device == "cuda" else CHUNK_TOKENS
        size = self.request.chunk_tokens or usual
        while (done := len(cache.ids)) < len(ids):
            if self._interrupted():
                return None
            chunk = ids[done : done + size]
            if self.request.score_prompt:
                logits = self._session.step(chunk, cache, len(chunk))
                self._score_prompt(logits, done)
            else:
                logits = self._session.step(chunk, cache)
        return None if logits is None else logits[-1:]

    def _score_prompt(self, logits: npt.NDArray[np.float32], done: int) -> None:
        """Record what the logits behind the ids from `done` on say of the ids after them."""
        following = self.request.ids[done + 1 : done + 1 + len(logits)]
        rows = logits[: len(following), : self._session.sizes.tokens]
        self.prompt_scores += score_all(rows, following, self.request.top_logprobs or 0)


def _apart(texts: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield the ids of all texts, with NO_ID before each."""
    for text in texts:
        yield NO_ID
        yield from text


def _check_ids(request: Request, vocabulary: int) -> None:
    largest = max(max(ids, default=0) for ids in (request.ids, *(request.texts or ())))
    if largest >= vocabulary or min(request.ids) < 0:
        raise BundleError(
            f"the tokenizer has made id {largest}, and the model has {vocabulary}; export the "
            "model again"
        )
