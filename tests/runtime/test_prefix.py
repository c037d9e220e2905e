"""Reusing KV caches of earlier prompts."""

import threading
import time

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


def test_prompts_that_share_only_their_first_token_keep_a_cache_each() -> None:
    caches = PrefixCache(CountingSession().new_cache)
    one, two = [3, *range(10, 20)], [3, *range(20, 30)]
    for ids in (one, two, one, two):
        cache = caches.take([*ids, 1])
        expected = [] if not cache.ids else ids
        assert cache.ids == expected
        cache.ids = list(ids)
        caches.put(cache)
    assert caches.take([*one, 1]).ids == one
    assert caches.take([*two, 1]).ids == two


def test_threads_never_share_a_cache() -> None:
    caches = PrefixCache(CountingSession().new_cache)
    held: set[int] = set()
    lock = threading.Lock()
    clashes = []

    def work() -> None:
        for _ in range(50):
            cache = caches.take([1, 2])
            with lock:
                if id(cache) in held:
                    clashes.append(cache)
                held.add(id(cache))
            time.sleep(0.0005)
            with lock:
                held.discard(id(cache))
            caches.put(cache)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
