"""Whether the native kernels give the same results to the last bit: by kind, threads and core."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..backends.native.library import BLOCK, Native
from ..backends.native.session import INT4, NativeSession
from ..bundle.contract import Bundle
from ..bundle.verified import verify
from .passes import random_ids

THREADS = (1, 2, 3)
_ROWS, _COLS, _TOKENS = 70, 17 * BLOCK, 20  # more than each kind's panels and tiles take at once
_IDS = 40


def bits_of(native: Native, kind: str) -> str:
    """Return what tells apart results of one product: the same on all machines that agree."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (_ROWS, _COLS // BLOCK, BLOCK // 2), np.uint8)
    scales = rng.uniform(0.01, 1, codes.shape[:2]).astype(np.float16)
    x = rng.standard_normal((_TOKENS, _COLS), np.float32)
    return hashlib.sha256(native.product(kind, codes, scales, x).tobytes()).hexdigest()[:16]


def same_on_threads(bundle: Bundle, counts: Iterable[int] = THREADS) -> bool:
    """Whether a step of int4 gives the same logits on any number of threads."""
    ids = random_ids(bundle.sizes, min(_IDS, bundle.sizes.context))
    verified, results = verify(bundle, INT4, hashes=False), set()
    for count in counts:
        session = NativeSession(verified, threads=count)
        results.add(session.step(ids, session.new_cache(), len(ids)).tobytes())
        session.close()
    return len(results) == 1


def same_on_cores(native: Native, kind: str) -> bool | None:
    """Whether all cores give the same product; None where a thread cannot be bound to one."""
    if sys.platform != "linux":
        return None
    cores = sorted(os.sched_getaffinity(0))
    return len({_bound_to(core, lambda: bits_of(native, kind)) for core in cores}) == 1


def _bound_to(core: int, work: Callable[[], str]) -> str:
    """Work on one core, in a thread that ends then: binding holds for the thread alone."""

    def bound() -> str:
        if sys.platform == "linux":
            os.sched_setaffinity(0, {core})
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(bound).result()
