"""Rounding that minds what a product's outputs are used for, beside what its inputs are.

Near its minimum the loss rises by tr(G E H E^T) / 2 for an error E [N, K] of a weight, with
H = E[x x^T] of its inputs x [K] and G = E[g g^T] of the gradients g [N] of the loss for its outputs
(Martens and Grosse 2015, arXiv 1503.05671). GPTQ takes G for the identity, and each row for itself.
Here rows make good each other's errors too, as in YAQA (Tseng et al. 2025, arXiv 2505.22988): when
E_a is rounded, the best for later rows is E_b = -G_bb^-1 G_ba E_a, whatever H is; with G^-1 = U^T U
for an upper triangular U, that is U_ab^T U_aa^-T E_a. Rows go in groups, so that each group is one
call of what rounds columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .gptq import Relations, compensated, inverse_of_lower
from .pack import Codes, Floating, Packed, largest_scales, packed, values
from .schemes import Quantized

# Rows are taken so many at a time, or more, as few take as long as many do: on the demo checkpoint,
# 32, 64 and 128 at a time lost a mean KL of 0.00416, 0.00426 and 0.00461 in 18, 16 and 13 s.
MOST_GROUPS, FEWEST_ROWS = 32, 32
# Added to the diagonal as a part of its mean, as few gradients are seen for so many outputs. On the
# demo checkpoint 0.03 to 1 did alike.
DAMPING = 0.1

Moments = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Outputs:
    """How the rows of a weight stand in for each other, for gradients with given moments.

    Args:
        order: the rows, those that count most first.
        factor: in this order, the upper Cholesky factor of the inverse of G, damped; fp32.

    """

    order: npt.NDArray[np.intp]
    factor: Floating


def outputs_of(second: Moments) -> Outputs:
    """Work it out of G [N, N], the mean of g g^T over the gradients for the outputs."""
    order = np.argsort(-np.diagonal(second), kind="stable")
    around = order[::-1]
    damped = np.array(second[np.ix_(around, around)], np.float64)
    diagonal = np.arange(len(damped))
    damped[diagonal, diagonal] += DAMPING * (float(damped[diagonal, diagonal].mean()) or 1.0)
    # G = L L^T with all places turned round gives the factor of G^-1 as L^-1, turned round again.
    factor = inverse_of_lower(np.linalg.cholesky(damped))[::-1, ::-1]
    return Outputs(order, np.ascontiguousarray(factor.astype(np.float32)))


def pack_two_sided(
    weight: Floating,
    form: Quantized,
    activations: Relations,
    outputs: Sequence[Outputs],
    *,
    fewest_rows: int = FEWEST_ROWS,
) -> Packed:
    """Return `weight` [N, K] in `form`, rounded for its inputs and for what follows it.

    `outputs` are those of as many equal runs of rows, each rounded by itself: gates, say, and what
    they are multiplied with. Rows are rounded `fewest_rows` at a time, or more.
    """
    parts = [
        _round_rows(rows, form, activations, own, fewest_rows)
        for rows, own in zip(np.split(weight, len(outputs)), outputs, strict=True)
    ]
    codes, scales = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return packed(weight, codes, scales, form)


def _round_rows(
    weight: Floating,
    form: Quantized,
    activations: Relations,
    outputs: Outputs,
    fewest_rows: int,
) -> tuple[Codes, Floating]:
    codes = np.empty(weight.shape, np.int8)
    scales = np.empty_like(largest_scales(weight, form))
    rest, factor = weight[outputs.order], outputs.factor
    groups = max(1, min(MOST_GROUPS, len(weight) // fewest_rows))
    for rows in np.array_split(np.arange(len(weight)), groups):
        own, later = slice(rows[0], rows[-1] + 1), slice(rows[-1] + 1, None)
        places = outputs.order[own]
        codes[places], scales[places] = compensated(rest[own], form, activations)
        errors = rest[own] - values(codes[places], scales[places], form)
        rest[later] -= factor[own, later].T @ np.linalg.solve(factor[own, own].T, errors)
    return codes, scales
