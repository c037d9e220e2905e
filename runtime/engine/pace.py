"""How fast this machine evaluates tokens, in prefill and decode, learned from its steps."""

from __future__ import annotations

import logging
import time

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from .cache import KvCache
from .costs import StepCosts
from .session import Session

_LEAST_TOKENS = 16  # of a step that counts as prefill; shorter ones mostly wait for weights
_NEWEST = 0.3  # weight of the newest step

_log = logging.getLogger(__name__)


class Paced:
    """A session whose steps are timed; see `session.Session`."""

    def __init__(self, session: Session) -> None:
        self.sizes: Sizes = session.sizes
        self.costs = StepCosts()
        self._session = session
        self._ms_a_token: float | None = None

    @property
    def device(self) -> str:
        """What it runs on: cpu or cuda."""
        return self._session.device

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return self._session.engine

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def new_cache(self) -> KvCache:
        """Return an empty cache."""
        return self._session.new_cache()

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
        start = time.perf_counter()
        logits = self._session.step(ids, cache, keep)
        seconds = time.perf_counter() - start
        self.costs.learn(len(ids), seconds)
        _log.debug("step: %d tokens in %.1f ms", len(ids), 1000 * seconds)
        if len(ids) >= _LEAST_TOKENS:
            took = 1000 * seconds / len(ids)
            before = self._ms_a_token
            self._ms_a_token = took if before is None else before + _NEWEST * (took - before)
        return logits

    def tokens_within(self, ms: float) -> int:
        """Return how many tokens of a prompt can be evaluated in so many milliseconds.

        Before any prefill, a short step is timed.
        """
        if self._ms_a_token is None:
            ids = np.zeros(_LEAST_TOKENS, np.int64)
            self.step(ids, self.new_cache())
        assert self._ms_a_token is not None
        return int(ms / self._ms_a_token)
