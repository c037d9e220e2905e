"""Error-compensated rounding (GPTQ: Frantar et al. 2022, "Accurate Post-Training Quantization").

Columns are rounded one after the other, and what rounding one of them did to the product is made
good, as far as it can be, by the columns that are still to come. How they stand in for each other
is told by H = X^T X over activations X that the weight is multiplied with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .chunks import row_slices, side_by_side
from .pack import Codes, Floating, Packed, by_column, code_range, packed
from .refine import descend, refit
from .schemes import Blocks, Quantized
from .search import best_scales

# Added to the diagonal as a part of its mean, as in the paper: columns seldom used make H nearly
# singular.
DAMPING = 0.01
# Columns between two updates of all that follow, and of those among them that come soonest. They
# change speed only: what is touched for every column should stay in the nearest cache.
_TOGETHER, _NEXT = 128, 16

Moments = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Relations:
    """How the columns of a weight stand in for each other, for activations with given moments.

    Args:
        second: [K, K], the mean of x x^T over activations x [K].
        damped: the same with a part of its mean added to the diagonal, fp32.
        order: the columns, those used most first.
        factor: in this order, the upper Cholesky factor of the inverse of `damped`.

    """

    second: Moments
    damped: Floating
    order: npt.NDArray[np.intp]
    factor: Floating


def relations(second: Moments, damping: float = DAMPING) -> Relations:
    """Work out once what every weight and form behind the same activations needs."""
    damped = np.array(second, np.float64)
    diagonal = np.arange(len(damped))
    damped[diagonal, diagonal] += damping * (float(damped[diagonal, diagonal].mean()) or 1.0)
    order = np.argsort(-np.diagonal(second), kind="stable")
    # H = L L^T with all places turned round gives the factor of H^-1 as L^-1, turned round again.
    around = order[::-1]
    lower = np.linalg.cholesky(damped[np.ix_(around, around)])
    factor = np.ascontiguousarray(inverse_of_lower(lower)[::-1, ::-1].astype(np.float32))
    return Relations(second, damped.astype(np.float32), order, factor)


def pack_compensated(weight: Floating, form: Quantized, activations: Relations) -> Packed:
    """Return `weight` [N, K] in `form`, rounded for activations whose moments are known.

    Blocks are refined afterwards; at 8 bits a row there was too little left to win.
    """
    return packed(weight, *compensated(weight, form, activations), form)


def compensated(
    weight: Floating, form: Quantized, activations: Relations
) -> tuple[Codes, Floating]:
    """Return codes [N, K] and scales, as `pack_compensated` stores them."""
    scales = best_scales(weight, form, np.diagonal(activations.second))
    codes = compensate(weight, scales, form, activations)
    if isinstance(form, Blocks):
        scales = refit(weight, codes, scales, form, activations.damped)
        codes = descend(weight, codes, scales, form, activations.damped)
    return codes, scales


def compensate(
    weight: Floating, scales: Floating, form: Quantized, activations: Relations
) -> Codes:
    """Return codes [N, K] for fixed scales; the columns used most are rounded first.

    Columns that were never used are rounded to the nearest code.
    """
    codes = np.empty(weight.shape, np.int8)

    def work(rows: slice) -> None:
        chunk = weight[rows]
        steps = np.broadcast_to(by_column(scales[rows], form, chunk.shape[1]), chunk.shape)
        # Columns are worked on one by one: let each lie in one piece.
        rest, grid = chunk.T[activations.order], steps.T[activations.order]
        codes[rows, activations.order] = _round(rest, grid, code_range(form), activations.factor).T

    side_by_side(work, row_slices(len(weight)))
    return codes


def inverse_of_lower(lower: Moments) -> Moments:
    """Return the inverse of a lower triangular matrix, by halves; numpy has none of its own."""
    size = len(lower)
    if size <= _TOGETHER:
        return np.tril(np.linalg.inv(lower))
    half = size // 2
    first, last = inverse_of_lower(lower[:half, :half]), inverse_of_lower(lower[half:, half:])
    inverse: Moments = np.zeros_like(lower)
    inverse[:half, :half], inverse[half:, half:] = first, last
    inverse[half:, :half] = -(last @ (lower[half:, :half] @ first))
    return inverse


def _round(rest: Floating, steps: Floating, limits: tuple[int, int], factor: Floating) -> Codes:
    """Round the columns, here [K, N], from the first; `rest` is used up."""
    columns, rows = rest.shape
    codes = np.empty(rest.shape, np.int8)
    for start in range(0, columns, _TOGETHER):
        end = min(columns, start + _TOGETHER)
        errors = np.empty((end - start, rows), np.float32)
        for first in range(start, end, _NEXT):
            last = min(end, first + _NEXT)
            for column in range(first, last):
                exact, step = rest[column], steps[column]
                code = np.clip(np.rint(exact / step), *limits)
                codes[column] = code
                error = errors[column - start]
                np.divide(exact - code * step, factor[column, column], out=error)
                rest[column + 1 : last] -= factor[column, column + 1 : last, None] * error
            near = errors[first - start : last - start]
            rest[last:end] -= factor[first:last, last:end].T @ near
        rest[end:] -= factor[start:end, end:].T @ errors
    return codes
