"""A session on a GPU that goes on on the CPU when the GPU fails, from the same tokens."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from ..engine.cache import KvCache
from ..engine.generation import CHUNK_TOKENS
from ..engine.session import Session
from ..errors import RefactEdgeWarning
from .gpu import GpuCache, GpuError, GpuSession


class FallbackSession:
    """Runs steps on a GPU until one fails there; see `engine.session.Session`.

    From then on all are the CPU's. What a sequence had in its cache is evaluated anew.
    """

    def __init__(self, first: GpuSession, open_other: Callable[[], Session]) -> None:
        """Begin on the first; `open_other` is called when it has failed."""
        self._session: Session = first
        self._first, self._open_other = first, open_other
        self._lock = threading.Lock()

    @property
    def sizes(self) -> Sizes:
        """The numbers that the engine needs of the model."""
        return self._first.sizes

    @property
    def device(self) -> str:
        """What it runs on now."""
        return self._session.device

    @property
    def engine(self) -> str:
        """What computes now, in words."""
        return self._session.engine

    def new_cache(self) -> KvCache:
        """Return an empty cache for one sequence, which either session fills."""
        return self._first.new_cache()

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
        if self._session is self._first:
            try:
                return self._first.step(ids, cache, keep)
            except GpuError as error:
                self._leave(str(error))
        return self._elsewhere(ids, cache, keep)

    def close(self) -> None:
        """Close both sessions."""
        self._first.close()
        self._session.close()

    def _leave(self, reason: str) -> None:
        """Open the other session, once, and let go of the GPU."""
        with self._lock:
            if self._session is not self._first:
                return
            message = f"{reason}; going on on the CPU, where what was read is evaluated anew"
            warnings.warn(message, RefactEdgeWarning, stacklevel=2)
            self._session = self._open_other()
            self._first.close()

    def _elsewhere(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int
    ) -> npt.NDArray[np.float32]:
        """Run a step behind what a cache holds, in a cache of the other session."""
        assert isinstance(cache, GpuCache)
        cache.check_room(len(ids))
        own = cache.moved = cache.moved or self._session.new_cache()
        own.rewind(own.shared(cache.ids))
        missing = np.array(cache.ids[len(own.ids) :], np.int64)
        for at in range(0, len(missing), CHUNK_TOKENS):
            self._session.step(missing[at : at + CHUNK_TOKENS], own)
        logits = self._session.step(ids, own, keep)
        cache.ids.extend(ids.tolist())
        return logits
