"""Generation over token ids.

The engine sees numbers only: text, prompts and stop strings live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from .bundle import Sizes
from .cache import KvCache
from .errors import PromptError
from .prefix import PrefixCache
from .sampling import Sampler, Sampling

# A request can be cancelled between chunks; larger ones were no faster on any CPU measured, and
# the scores of one layer take 4 * heads * chunk * context bytes.
CHUNK_TOKENS = 128

Finish = Literal["", "stop", "length", "cancelled"]


class Steps(Protocol):
    """What the engine needs of a session."""

    sizes: Sizes

    def new_cache(self) -> KvCache:
        """Return an empty cache."""
        ...

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] behind `cache` and return the last `keep` logits [keep, V]."""
        ...


@dataclass(frozen=True)
class Request:
    """One sequence to continue.

    Args:
        ids: the prompt; never empty.
        sampling: how tokens are drawn.
        max_new: the most tokens to generate.
        stop_ids: end the sequence and are not part of it.
        forbidden_first: ids that the first new token must not be.
        cancelled: asked before each chunk and each step.

    """

    ids: Sequence[int]
    sampling: Sampling
    max_new: int
    stop_ids: frozenset[int]
    forbidden_first: tuple[int, ...] = ()
    cancelled: Callable[[], bool] = bool


class Generation:
    """Iterate for the new ids; `finish` and `cached` tell the rest once it has ended."""

    def __init__(self, session: Steps, caches: PrefixCache, request: Request) -> None:
        """Take no step yet.

        Raises:
            PromptError: when the prompt is empty or leaves no room for a new token.

        """
        context = session.sizes.context
        if not request.ids:
            raise PromptError("the prompt is empty; expected at least one token")
        if len(request.ids) >= context:
            raise PromptError(
                f"the prompt has {len(request.ids)} tokens and the context holds {context}, "
                "new tokens included; shorten the prompt"
            )
        self.request = request
        self.cached = 0
        self.new_ids: list[int] = []
        self.finish: Finish = ""
        self.closing = False  # set from outside to end it early
        self._session, self._caches = session, caches
        self._limit = min(request.max_new, context - len(request.ids))

    def __iter__(self) -> Generator[int]:
        cache = self._caches.take(self.request.ids)
        try:
            self.cached = len(cache.ids)
            yield from self._run(cache)
        finally:
            self._caches.put(cache)
            self.finish = self.finish or "cancelled"

    def _run(self, cache: KvCache) -> Iterator[int]:
        request = self.request
        sampler = Sampler(request.sampling)
        history = list(request.ids)
        logits = self._prefill(cache)
        for count in range(self._limit):
            if logits is None or self._cancelled():
                self.finish = "cancelled"
                return
            forbidden = request.forbidden_first if count == 0 else ()
            real = logits[-1, : self._session.sizes.tokens]  # the rest are padding rows
            picked = sampler.pick(real, history, forbidden)
            if picked in request.stop_ids:
                self.finish = "stop"
                return
            self.new_ids.append(picked)
            history.append(picked)
            yield picked
            if count + 1 < self._limit:
                logits = self._session.step(np.array([picked], np.int64), cache)
        self.finish = "length"

    def _cancelled(self) -> bool:
        return self.closing or self.request.cancelled()

    def _prefill(self, cache: KvCache) -> npt.NDArray[np.float32] | None:
        """Run the prompt chunk by chunk; return the last logits, or None when cancelled."""
        ids = np.asarray(self.request.ids, np.int64)
        logits = None
        while (done := len(cache.ids)) < len(ids):
            if self._cancelled():
                return None
            logits = self._session.step(ids[done : done + CHUNK_TOKENS], cache)
        return logits
