"""KV caches of earlier prompts, so that the next request need not start over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from ..machine.forks import ForkableLock
from .cache import KvCache
from .disk_cache import Saved

LIMIT_BYTES = 256 * 2**20  # 16,384 tokens of the 1.6B shape in fp32
LEAST_COPIED = 32  # rows; fewer are computed in about the time that a cache takes to set up

_log = logging.getLogger(__name__)


class PrefixCache:
    """Hands out, for some ids, a cache that already holds the longest cached prefix of them.

    A cache belongs to one caller between `take` and `put`, so callers in several threads never
    share one. Where the longest prefix lies in a cache that is in use, or in one that holds much
    else besides, its rows are copied. Of the idle caches the least recently used are dropped
    beyond `limit_bytes`, but the last of them stays whatever its size.
    """

    def __init__(
        self,
        new_cache: Callable[[], KvCache],
        limit_bytes: int = LIMIT_BYTES,
        saved: Saved | None = None,
    ) -> None:
        """Start with no cache but those that were `saved`."""
        self._new_cache, self._saved = new_cache, saved
        self._limit_bytes = limit_bytes
        self._idle: list[KvCache] = []  # least recently used first
        self._busy: dict[int, tuple[KvCache, int]] = {}  # and the rows of it that stay as they are
        self._lock = ForkableLock()
        self._dropped = False

    def take(self, ids: Sequence[int]) -> KvCache:
        """Return a cache that holds the longest cached prefix of `ids`, and nothing else.

        The last id is never among them: its logits are what the caller comes for.
        """
        prompt = list(ids[:-1])
        with self._lock:
            source, rows = max(self._sharing(prompt), key=_rows, default=(None, 0))
            idle = ((cache, cache.shared(prompt)) for cache in self._idle)
            own, own_rows = max(idle, key=_rows, default=(None, 0))
            file, on_disk = self._saved.longest(prompt) if self._saved else (None, 0)
            if self._saved and file and on_disk >= max(rows, own_rows) + LEAST_COPIED:
                cache = self._new_cache()
                self._saved.fill(cache, file, on_disk)
            # A cache belongs to the text of which it holds little else.
            elif (
                own is not None and 2 * own_rows >= len(own.ids) and own_rows + LEAST_COPIED > rows
            ):
                self._idle = [cache for cache in self._idle if cache is not own]
                own.rewind(own_rows)
                cache = own
            else:
                cache = self._new_cache()
                if source is not None and rows >= LEAST_COPIED:
                    cache.copy(source, rows)
            self._busy[id(cache)] = cache, len(prompt)
        _log.debug("prefix: %d of %d tokens are in a cache", len(cache.ids), len(ids))
        return cache

    def save(self) -> None:
        """Write the idle caches to where caches are saved, if anywhere; takes wait for it."""
        with self._lock:
            if self._saved is not None:
                self._saved.save(self._idle)

    def drop(self) -> None:
        """Let go of all caches that are idle, now and later."""
        with self._lock:
            self._dropped = True
            self._idle.clear()

    def missing(self, ids: Sequence[int]) -> int:
        """Return how many of `ids` would have to be evaluated."""
        prompt = list(ids[:-1])
        with self._lock:
            on_disk = self._saved.longest(prompt)[1] if self._saved else 0
            return len(ids) - max(on_disk, *(rows for _, rows in self._sharing(prompt)), 0)

    def put(self, cache: KvCache) -> None:
        """Take a cache back, with whatever it holds now."""
        with self._lock:
            self._busy.pop(id(cache), None)
            if (
                cache.ids and not self._dropped
            ):  # else it would lie there for nothing, and count for nothing
                self._idle.append(cache)
            while len(self._idle) > 1 and sum(c.held_bytes for c in self._idle) > self._limit_bytes:
                del self._idle[0]

    def _sharing(self, prompt: list[int]) -> Iterator[tuple[KvCache, int]]:
        """Yield every cache, and how many of its rows are for the ids that `prompt` starts with.

        One in use grows, and rows of its drafts are written over, but not those of its prompt.
        """
        for cache in self._idle:
            yield cache, cache.shared(prompt)
        for cache, fixed in self._busy.values():
            yield cache, min(fixed, cache.shared(prompt))


def _rows(share: tuple[KvCache, int]) -> int:
    return share[1]
