"""KV caches of finished prompts, kept so that the next request need not start over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .cache import KvCache

IDLE_CACHES = 4  # 64 MiB each at 4096 tokens in fp32


class PrefixCache:
    """Hands out, for some ids, the idle cache that shares the longest prefix with them.

    A cache belongs to one caller between `take` and `put`, so callers in several threads never
    share one. Of the idle caches the least recently used is dropped beyond `limit`.
    """

    def __init__(self, new_cache: Callable[[], KvCache], limit: int = IDLE_CACHES) -> None:
        self._new_cache = new_cache
        self._limit = limit
        self._idle: list[KvCache] = []  # least recently used first
        self._lock = threading.Lock()

    def take(self, ids: Sequence[int]) -> KvCache:
        """Return a cache rewound to the longest prefix it shares with `ids`.

        A cache that shares less than half of what it holds is left for the text it belongs to, as
        long as there is room for another. The last id is never taken from the cache: its logits
        are what the caller comes for.
        """
        wanted = ids[:-1]
        with self._lock:
            chosen = max(self._idle, key=lambda cache: cache.shared(wanted), default=None)
            if chosen is not None and 2 * chosen.shared(wanted) < len(chosen.ids):
                chosen = self._idle[0] if len(self._idle) >= self._limit else None
            if chosen is not None:
                self._idle = [cache for cache in self._idle if cache is not chosen]
        cache = chosen or self._new_cache()
        cache.rewind(cache.shared(wanted))
        return cache

    def put(self, cache: KvCache) -> None:
        """Take a cache back, with whatever it holds now."""
        with self._lock:
            self._idle.append(cache)
            del self._idle[: -self._limit]
