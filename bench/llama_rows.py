"""The order of rows within a head, of queries and keys: llama.cpp's and transformers'.

A rotation turns pairs of numbers. Transformers pairs number i of a head of size d with i + d/2;
llama.cpp has the two side by side in the files of some architectures. Numpy alone.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

# llama.cpp's architectures whose rotation takes pairs side by side.
INTERLEAVED = ("llama",)


def in_pairs(values: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Return rows (first of all pairs, then the second) as pairs: [N, ...] of `heads` heads."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def in_halves(values: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Return rows in pairs as first of all pairs, then the second: what undoes `in_pairs`."""
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
