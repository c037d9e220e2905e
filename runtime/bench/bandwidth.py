"""What bounds decoding: how fast memory is read, and how much of it a token needs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from ..bundle.contract import Bundle, engine_graph
from ..bundle.onnxfile import read_graph
from ..machine.cores import fast_cores

BUFFER_BYTES = 512 * 2**20  # much larger than any cache
_PASSES = 4
_FLOAT_BYTES = {"float32": 4, "float16": 2}


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
    """Return the bytes of weights that one token needs: all but the table of ids, as stored.

    Of that table a token needs one row. It lies first in the file, before the first norm.
    """
    norm_bytes = bundle.sizes.width * _FLOAT_BYTES[bundle.variants[variant].kv_type]
    tensors = read_graph(bundle.path / engine_graph(variant)).tensors.values()
    places = {(t.place.offset, t.place.length) for t in tensors if t.place}
    lengths = [length for _, length in sorted(places)]
    first = lengths.index(norm_bytes) if norm_bytes in lengths else 0
    return sum(lengths[first:])
