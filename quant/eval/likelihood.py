"""What a text costs a model, and what it writes by itself; over ids, on an open session."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...runtime.engine.generation import CHUNK_TOKENS, Generation, Request
from ...runtime.engine.prefix import PrefixCache
from ...runtime.engine.sampling import GREEDY
from ...runtime.engine.session import Session


@dataclass(frozen=True)
class Cost:
    """Bits of a text after a prompt, and the probability that it ends there."""

    bits: float
    end_probability: float


class Reader:
    """Measures texts on one session; prompts that begin alike are evaluated once."""

    def __init__(self, session: Session, end_id: int, stop_ids: frozenset[int]) -> None:
        self._session, self._end_id, self._stop_ids = session, end_id, stop_ids
        self._caches = PrefixCache(session.new_cache)

    def cost(self, prompt: Sequence[int], text: Sequence[int]) -> Cost:
        """Return what `text` costs after `prompt`, which is not empty."""
        cache = self._caches.take(prompt)
        ids = np.array([*prompt, *text], np.int64)
        targets = np.array([*text, self._end_id], np.int64)
        first = len(prompt) - 1  # the first row that is asked for
        while (done := len(cache.ids)) < first:
            self._session.step(ids[done : min(first, done + CHUNK_TOKENS)], cache)
        nats: list[float] = []
        while (done := len(cache.ids)) < len(ids):
            part = ids[done : done + CHUNK_TOKENS]
            rows = self._session.step(part, cache, keep=len(part))
            chosen = targets[done - first :][: len(part)]
            nats += log_probabilities(rows[:, : self._session.sizes.tokens], chosen).tolist()
        self._caches.put(cache)
        return Cost(-sum(nats[:-1]) / math.log(2), math.exp(nats[-1]))

    def write(self, prompt: Sequence[int], most: int) -> tuple[list[int], bool]:
        """Return the likeliest continuation, and whether it stopped before `most` ids."""
        request = Request(ids=prompt, sampling=GREEDY, max_new=most, stop_ids=self._stop_ids)
        generation = Generation(self._session, self._caches, request)
        return list(generation), generation.finish == "stop"


def log_probabilities(
    logits: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the natural logarithm of each row's probability of its id: [T, V], [T] -> [T]."""
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    totals: npt.NDArray[np.float64] = np.log(np.exp(scores).sum(axis=1))
    chosen: npt.NDArray[np.float64] = scores[np.arange(len(ids)), ids] - totals
    return chosen
