"""Reusing KV caches of earlier prompts."""

import threading

from fakes import CountingSession
from refact_edge.runtime.prefix import PrefixCache


def _filled(caches: PrefixCache, ids: list[int]) -> None:
    cache = caches.take(ids)
    cache.ids = list(ids)
    caches.put(cache)


def test_the_longest_shared_prefix_wins() -> None:
    caches = PrefixCache(CountingSession().new_cache)
    _filled(caches, [1, 2, 3, 4])
    _filled(caches, [7, 2])
    assert caches.take([1, 2, 3, 9, 9]).ids == [1, 2, 3]


def test_the_last_prompt_id_is_never_taken_from_the_cache() -> None:
    caches = PrefixCache(CountingSession().new_cache)
    _filled(caches, [1, 2, 3])
    assert caches.take([1, 2, 3]).ids == [1, 2]


def test_a_cache_in_use_is_not_handed_out_again() -> None:
    caches = PrefixCache(CountingSession().new_cache)
    _filled(caches, [1, 2, 3])
    first, second = caches.take([1, 2, 3, 4]), caches.take([1, 2, 3, 4])
    assert first is not second
    assert second.ids == []


def test_beyond_the_limit_the_least_recently_used_is_dropped() -> None:
    caches = PrefixCache(CountingSession().new_cache, limit=2)
    taken = [caches.take([i, i, i]) for i in (1, 2, 3)]
    for i, cache in zip((1, 2, 3), taken, strict=True):
        cache.ids = [i, i]
        caches.put(cache)
    assert caches.take([1, 1, 1]).ids == []
    assert caches.take([3, 3, 3]).ids == [3, 3]


def test_threads_never_share_a_cache() -> None:
    caches = PrefixCache(CountingSession().new_cache)
    seen: set[int] = set()
    clashes = []

    def work() -> None:
        for _ in range(200):
            cache = caches.take([1, 2])
            if id(cache) in seen:
                clashes.append(cache)
            seen.add(id(cache))
            seen.discard(id(cache))
            caches.put(cache)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
