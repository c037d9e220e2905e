"""What bounds decoding: how fast memory is read, and how much of it a token needs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from ..bundle.contract import Bundle
from ..bundle.decoder import EMBEDDING, HEAD, POSITIONS
from ..machine.cores import fast_cores

BUFFER_BYTES = 512 * 2**20  # much larger than any cache
_PASSES = 4


def read_bandwidth(
    threads: int,
    buffer_bytes: int = BUFFER_BYTES,
    clock: Callable[[], float] = perf_counter,
) -> float:
    """Return the bytes a second that threads read together: the best of some passes.

    Each thread looks for the largest float of a part of its own; numpy lets go of the interpreter
    meanwhile, and reads as fast as memory allows.
    """
    # Written to, as untouched pages would all be one page of zeros.
    parts = [np.ones(buffer_bytes // threads // 4, np.float32) for _ in range(threads)]
    size = sum(part.nbytes for part in parts)
    times = []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(np.max, parts))
        for _ in range(_PASSES):
            start = clock()
            list(pool.map(np.max, parts))
            times.append(clock() - start)
    return size / min(times)


def thread_count() -> int:
    """Return how many threads a session takes by itself."""
    return fast_cores()


def weights_read_bytes(bundle: Bundle, variant: str) -> int:
    """Return the bytes of weights that one token needs, as stored.

    Of the tables of ids and positions it needs one row each, which are not counted, unless the
    head is the table of ids.
    """
    weights = bundle.require_variant(variant).weights
    tables = {POSITIONS, EMBEDDING} if HEAD in weights else {POSITIONS}
    places = (place for name, place in weights.items() if name not in tables)
    return sum(part.length for place in places for part in place.parts.values())
