"""Reusing KV caches of earlier prompts."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import CountingSession, memories

from refact_edge.runtime.engine.cache import PAGE_BYTES, KvCache
from refact_edge.runtime.engine.prefix import LEAST_COPIED, PrefixCache


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


def test_beyond_the_limit_the_least_recently_used_are_dropped() -> None:
    bytes_each = 2 * PAGE_BYTES  # a page of keys and one of values
    caches = PrefixCache(CountingSession().new_cache, limit_bytes=2 * bytes_each)
    used = [caches.take([i, i, i]) for i in (1, 2, 3)]
    for i, cache in zip((1, 2, 3), used, strict=True):
        cache.ids = [i, i, i]
        caches.put(cache)
    assert caches.take([1, 1, 1]).ids == []
    assert caches.take([2, 2, 2]).ids == [2, 2]
    assert caches.take([3, 3, 3]).ids == [3, 3]


def test_one_cache_stays_however_large() -> None:
    caches = PrefixCache(CountingSession().new_cache, limit_bytes=1)
    _filled(caches, [1] * 50)
    assert len(caches.take([1] * 51).ids) == 50


def test_rows_that_were_written_count_even_when_forgotten() -> None:
    cache = CountingSession().new_cache()
    cache.ids = [1] * 100
    full = cache.held_bytes
    cache.rewind(10)
    assert cache.held_bytes == full > 0


def test_a_cache_without_rows_is_not_held() -> None:
    """Requests that are given up before anything was read leave nothing behind."""
    caches = PrefixCache(CountingSession().new_cache)
    for _ in range(3):
        caches.put(caches.take([1, 2, 3]))
    assert caches._idle == []


_SHORT_PROMPTS = """
import itertools, os, resource, sys
import numpy as np
from dataclasses import replace
from fakes import SIZES, CountingSession
from refact_edge.runtime.engine.prefix import PrefixCache

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

session = CountingSession(replace(SIZES, layers=32, head_size=64, context=4096))
caches = PrefixCache(session.new_cache, limit_bytes=int(sys.argv[1]))
pieces = [np.ones(2**18, np.float32) for _ in range(8)]
del pieces  # the C library keeps pieces of this size from now on
before = resident()
for text in itertools.islice(itertools.permutations(range(30), 5), 600):
    ids = [*text] * 4
    cache = caches.take(ids)
    session.step(np.array(ids[len(cache.ids):]), cache)
    caches.put(cache)
print(resident() - before)
"""


def test_many_short_prompts_take_the_memory_of_the_limit_and_a_fifth_at_most() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("only Linux says what memory a process has resident")
    limit = 32 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", _SHORT_PROMPTS, str(limit)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0.5 * limit < int(done.stdout) < 1.2 * limit


def _evaluated(session: CountingSession, caches: PrefixCache, ids: list[int]) -> KvCache:
    cache = caches.take(ids)
    session.step(np.array(ids[len(cache.ids) :], np.int64), cache)
    return cache


def _rows(cache: KvCache) -> list[list[float]]:
    return [memory[0, 0, : len(cache.ids), 0].tolist() for memory in memories(cache)]


def test_a_start_shared_with_a_longer_text_is_copied_and_the_text_stays() -> None:
    session = CountingSession()
    caches = PrefixCache(session.new_cache)
    system = list(range(LEAST_COPIED))
    long = [*system, *[7] * 100]
    caches.put(_evaluated(session, caches, long))
    other = caches.take([*system, 8, 8])
    assert other.ids == system
    assert _rows(other) == [system, system]
    assert len(caches.take([*long, 9]).ids) == len(long)


def test_rows_of_a_prompt_still_in_use_are_copied_and_those_it_may_yet_change_are_not() -> None:
    session = CountingSession()
    caches = PrefixCache(session.new_cache)
    prompt = list(range(40))
    busy = _evaluated(session, caches, prompt)
    session.step(np.array([30, 31]), busy)  # an answer, or a guess at one
    newer = caches.take([*prompt, 30, 31, 5])
    assert newer is not busy
    # The last id of a prompt is evaluated for its logits, but does not count as known.
    assert newer.ids == prompt[:-1]
    assert _rows(newer) == [prompt[:-1]] * 2


def test_fewer_rows_than_are_worth_it_are_not_copied() -> None:
    session = CountingSession()
    caches = PrefixCache(session.new_cache)
    caches.put(_evaluated(session, caches, [*range(LEAST_COPIED - 1), *[7] * 100]))
    assert caches.take([*range(LEAST_COPIED - 1), 8, 8]).ids == []


@pytest.mark.parametrize("seed", range(5))
def test_what_is_shared_is_counted_id_by_id(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    for _ in range(50):
        mine, theirs = (numbers.integers(0, 2, numbers.integers(0, 9)).tolist() for _ in "ab")
        cache = CountingSession().new_cache()
        cache.ids = mine
        expected = 0
        while expected < min(len(mine), len(theirs)) and mine[expected] == theirs[expected]:
            expected += 1
        assert cache.shared(theirs) == expected


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
