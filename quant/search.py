"""Better scales than those with which the largest value just fits; no data is needed.

A block's largest value decides its scale, though it is one of many: a smaller scale clips it and
serves the others better. What counts is the squared error, weighted by how much each column is
used where that is known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .chunks import chunks, side_by_side
from .pack import Floating, as_stored, code_range, largest_scales, split
from .schemes import Blocks, Quantized

# Factors on the scale with which the largest value fits. Above 1 the codes' finer end is traded.
FACTORS = np.linspace(0.7, 1.05, 12, dtype=np.float32)
_SMALLEST_SHARE = 1e-4  # of the mean importance: a column never used still counts a little

Importance = npt.NDArray[np.floating]


def best_scales(
    weight: Floating, form: Quantized, importance: Importance | None = None
) -> Floating:
    """Return the scales of least squared error for `weight` [N, K].

    Args:
        weight: what is to be rounded.
        form: rows get one scale, [N], blocks one each, [N, ceil(K/size)].
        importance: [K], the mean square of each column's activations; None weighs all alike.

    """
    columns = weight.shape[1]
    used = np.ones(columns) if importance is None else np.asarray(importance, np.float64)
    used = used + _SMALLEST_SHARE * used.mean() if used.any() else np.ones(columns)
    size = form.size if isinstance(form, Blocks) else columns
    heavy = split((used / used.mean()).astype(np.float32)[None], size)
    scales = side_by_side(lambda chunk: _search(chunk, form, size, heavy), chunks(weight))
    return as_stored(np.concatenate(scales), form)


def _search(weight: Floating, form: Quantized, size: int, heavy: Floating) -> Floating:
    """Try every factor, fit each scale to the codes that it gives, and keep the best."""
    blocks = split(weight, size)
    first = largest_scales(weight, form).reshape(blocks.shape[:2])
    best, lowest = first, _cost(blocks, first, form, heavy)
    for factor in FACTORS:
        scales = _fitted(blocks, first * factor, form, heavy)
        cost = _cost(blocks, scales, form, heavy)
        better = cost < lowest
        best, lowest = np.where(better, scales, best), np.where(better, cost, lowest)
    return best if isinstance(form, Blocks) else best[:, 0]


def _rounded(blocks: Floating, scales: Floating, form: Quantized) -> Floating:
    codes: Floating = np.clip(np.rint(blocks / scales[..., None]), *code_range(form))
    return codes


def _fitted(blocks: Floating, scales: Floating, form: Quantized, heavy: Floating) -> Floating:
    """Return the scales of least error for the codes that `scales` give."""
    codes = _rounded(blocks, scales, form)
    weighted = heavy * codes
    size = np.einsum("nbk,nbk->nb", weighted, codes)
    fit = np.einsum("nbk,nbk->nb", weighted, blocks) / np.where(size > 0, size, 1)
    # All codes zero, or a fit too small to divide by: keep what there was.
    return np.where(np.abs(fit) > np.finfo(np.float32).tiny, fit, scales).astype(np.float32)


def _cost(blocks: Floating, scales: Floating, form: Quantized, heavy: Floating) -> Floating:
    difference = blocks - _rounded(blocks, scales, form) * scales[..., None]
    cost: Floating = np.einsum("nbk,nbk->nb", heavy * difference, difference)
    return cost
