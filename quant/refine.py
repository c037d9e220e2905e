"""Better codes and scales than those at hand, for activations whose moments are known.

What is lost is tr(E H E^T), with E the error of the weight and H the mean of x x^T. For fixed codes
the best scales of a row solve a small system; for fixed scales, codes are improved one column after
the other with all others held (coordinate descent, as in QuantEase: Behdin et al. 2023). Neither
can lose more than there was lost before, but for the rounding of scales to fp16.
"""

from __future__ import annotations

import numpy as np

from .chunks import row_slices, side_by_side
from .pack import Codes, Floating, as_stored, by_column, code_range, split
from .schemes import Blocks, Quantized

_PASSES = 2
_TOGETHER, _NEXT = 128, 16  # columns between updates, as in gptq.py
_FURTHEST = 2.0  # a scale moves by less than this factor: beyond it, the system was ill


def refit(
    weight: Floating, codes: Codes, scales: Floating, form: Blocks, moments: Floating
) -> Floating:
    """Return the scales [N, ceil(K/size)] of least loss for codes [N, K]."""
    pieces = side_by_side(
        lambda rows: _refit(weight[rows], codes[rows], scales[rows], form, moments),
        row_slices(len(weight)),
    )
    return as_stored(np.concatenate(pieces), form)


def _refit(
    weight: Floating, codes: Codes, scales: Floating, form: Blocks, moments: Floating
) -> Floating:
    size, columns = form.size, weight.shape[1]
    count = scales.shape[1]
    blocks = split(codes.astype(np.float32), size)
    aims = split(weight @ moments, size)
    right = np.einsum("nbk,nbk->nb", aims, blocks)
    left = np.empty((len(weight), count, count), np.float32)
    for block in range(count):
        own = slice(block * size, min(columns, (block + 1) * size))
        met = split(codes[:, own].astype(np.float32) @ moments[own], size)
        left[:, block] = np.einsum("nbk,nbk->nb", met, blocks)
    diagonal = np.arange(count)
    # A block of zeros has no say in its scale; a trace on the diagonal keeps such systems solvable.
    left[:, diagonal, diagonal] += 1e-6 * np.trace(left, axis1=1, axis2=2)[:, None] + 1e-20
    solved = np.linalg.solve(left, right[..., None])[..., 0]
    ratio = solved / scales
    usable = np.isfinite(ratio) & (ratio > 1 / _FURTHEST) & (ratio < _FURTHEST)
    moved: Floating = np.where(usable, solved, scales).astype(np.float32)

    def lost(scales: Floating) -> Floating:
        """Return the loss of each row, but for what does not depend on scales."""
        squared: Floating = np.einsum("nb,nbc,nc->n", scales, left, scales)
        rest: Floating = squared - 2 * np.einsum("nb,nb->n", scales, right)
        return rest

    # Where some of a row's scales were held back, the others need not be better.
    return np.where((lost(moved) < lost(scales))[:, None], moved, scales)


def descend(
    weight: Floating, codes: Codes, scales: Floating, form: Quantized, moments: Floating
) -> Codes:
    """Return codes [N, K] that lose no more, for fixed scales."""
    pieces = side_by_side(
        lambda rows: _descend(weight[rows], codes[rows], scales[rows], form, moments),
        row_slices(len(weight)),
    )
    return np.concatenate(pieces)


def _descend(
    weight: Floating, codes: Codes, scales: Floating, form: Quantized, moments: Floating
) -> Codes:
    """Work on [K, N], so that each column lies in one piece."""
    columns, limits = weight.shape[1], code_range(form)
    steps = np.ascontiguousarray(np.broadcast_to(by_column(scales, form, columns), weight.shape).T)
    current = np.ascontiguousarray(codes.T).astype(np.float32)
    slopes = moments @ (weight.T - current * steps)  # half the gradient of the loss
    for _ in range(_PASSES):
        for start in range(0, columns, _TOGETHER):
            end = min(columns, start + _TOGETHER)
            near = slopes[start:end].copy()
            changes = np.empty_like(near)
            for first in range(start, end, _NEXT):
                last = min(end, first + _NEXT)
                for column in range(first, last):
                    code, step = current[column], steps[column]
                    wish = code + near[column - start] / (moments[column, column] * step)
                    better = np.clip(np.rint(wish), *limits)
                    change = (code - better) * step
                    current[column], changes[column - start] = better, change
                    following = moments[column, column + 1 : last, None]
                    near[column + 1 - start : last - start] += following * change
                done = changes[first - start : last - start]
                near[last - start :] += moments[last:end, first:last] @ done
            slopes += moments[:, start:end] @ changes
    return np.ascontiguousarray(current.T).astype(np.int8)
