"""Error-compensated rounding (GPTQ: Frantar et al. 2022, "Accurate Post-Training Quantization").

Columns are rounded one after the other, and what rounding one of them did to the product is made
good, as far as it can be, by the columns that are still to come. How they stand in for each other
is told by H = X^T X over activations X that the weight is multiplied with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .pack import Codes, Floating, Packed, Quantized, by_column, chunks, code_range, packed
from .search import best_scales

# Added to the diagonal as a part of its mean, as in the paper: columns seldom used make H nearly
# singular.
DAMPING = 0.01
_TOGETHER = 128  # columns between two updates of all that follow; changes speed only

Moments = npt.NDArray[np.floating]


def pack_compensated(weight: Floating, form: Quantized, moments: Moments) -> Packed:
    """Return `weight` [N, K] in `form`, rounded for activations with second moments `moments`.

    Args:
        weight: what is to be rounded.
        form: its codes and scales.
        moments: [K, K], the mean of x x^T over activations x [K].

    """
    scales = best_scales(weight, form, np.diagonal(moments))
    return packed(weight, compensate(weight, scales, form, moments), scales, form)


def compensate(weight: Floating, scales: Floating, form: Quantized, moments: Moments) -> Codes:
    """Return codes [N, K] for fixed scales; the columns used most are rounded first.

    Columns that were never used are rounded to the nearest code.
    """
    order = np.argsort(-np.diagonal(moments), kind="stable")
    factor = _factor(moments, order)
    codes = np.empty(weight.shape, np.int8)
    at = 0
    for chunk in chunks(weight):
        rows = slice(at, at + len(chunk))
        steps = np.broadcast_to(by_column(scales[rows], form, chunk.shape[1]), chunk.shape)
        # Columns are worked on one by one: let each lie in one piece.
        rest, grid = chunk.T[order].copy(), steps.T[order]
        codes[rows, order] = _round(rest, grid, code_range(form), factor).T
        at += len(chunk)
    return codes


def _factor(moments: Moments, order: npt.NDArray[np.intp]) -> Floating:
    """Return the upper Cholesky factor [K, K] of the inverse of the damped moments."""
    damped = np.array(moments[np.ix_(order, order)], np.float64)
    diagonal = np.arange(len(damped))
    mean = float(damped[diagonal, diagonal].mean()) or 1.0
    damped[diagonal, diagonal] += DAMPING * mean
    inverse = np.linalg.inv(damped)
    upper: Floating = np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32)
    return upper


def _round(rest: Floating, steps: Floating, limits: tuple[int, int], factor: Floating) -> Codes:
    """Round the columns, here [K, N], from the first; `rest` is used up."""
    columns, rows = rest.shape
    codes = np.empty(rest.shape, np.int8)
    for start in range(0, columns, _TOGETHER):
        end = min(columns, start + _TOGETHER)
        errors = np.empty((end - start, rows), np.float32)
        for i, column in enumerate(range(start, end)):
            exact, step = rest[column], steps[column]
            code = np.clip(np.rint(exact / step), *limits)
            codes[column] = code
            errors[i] = (exact - code * step) / factor[column, column]
            rest[column + 1 : end] -= factor[column, column + 1 : end, None] * errors[i]
        rest[end:] -= factor[start:end, end:].T @ errors
    return codes
