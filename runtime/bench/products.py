"""How fast each kind of the native kernels multiplies, with weights in a core's own cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backends.native.library import BLOCK, Native
from ..opening.trial import OWN_TIME

# 4 bits: 64 KB and half a MB of codes. The difference of the two is no rounding of activations.
FEW_ROWS, ROWS, COLS, TOKENS = 64, 512, 2048, 128
_ROUNDS, _LIMIT_S = 15, 0.5


def products_per_s(
    native: Native, kind: str, clock: Callable[[], float] = OWN_TIME
) -> float | None:
    """Return the products of small numbers a second, on one thread, that one kind reaches.

    None where the machine was too busy to tell: the larger product took no longer.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (ROWS, COLS // BLOCK, BLOCK // 2), np.uint8)
    scales = rng.uniform(0.01, 1, codes.shape[:2]).astype(np.float16)
    x = rng.standard_normal((TOKENS, COLS), np.float32)
    times: dict[int, list[float]] = {FEW_ROWS: [], ROWS: []}
    first = clock()
    for number in range(_ROUNDS + 1):
        for rows, seconds in times.items():
            start = clock()
            native.product(kind, codes[:rows], scales[:rows], x)
            if number:  # the first round takes memory and fills the cache
                seconds.append(clock() - start)
        if number and clock() - first > _LIMIT_S:
            break
    seconds_apart = min(times[ROWS]) - min(times[FEW_ROWS])
    return (ROWS - FEW_ROWS) * COLS * TOKENS / seconds_apart if seconds_apart > 0 else None
