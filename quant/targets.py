"""What a weight should be rounded to, when what it reads has been rounded before.

Behind rounded layers a product reads xq where the exact model has xe. The weight that then comes
nearest to the exact product W xe is W C (H)^-1, for C = E[xe xq^T] and H = E[xq xq^T] (GPTAQ: Li et
al. 2025, arXiv 2504.02692; Qronos: Zhang et al. 2025, arXiv 2505.11695). A product whose result is
added to the stream can also make good what that stream has lost so far, d = se - sq: by D H^-1 with
D = E[d xq^T]. From few texts much of either is chance, so only a share of both is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .pack import Floating

# A part of the mean of H's diagonal, added to it.
DAMPING = 0.03
# With so many tokens half of what they tell is believed: on the demo checkpoint shares of 0.5 were
# best with 15k tokens and of 0.7 with 43k.
_HALF_TOKENS = 16_000

Moments = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Drift:
    """How far a rounded model has gone astray, seen from the input of a product.

    Args:
        second: [K, K], H, the mean of xq xq^T over inputs in the rounded model.
        crossed: [K, K], C, the mean of xe xq^T, with the exact model's inputs.
        stream: [N, K], D, the mean of (se - sq) xq^T; None unless the result is added to a stream.
        tokens: how many were seen.

    """

    second: Moments
    crossed: Moments
    stream: Moments | None
    tokens: int


def aimed(weight: Floating, drift: Drift) -> Floating:
    """Return the weight [N, K] that rounding is to come near, for the exact one."""
    share = drift.tokens / (drift.tokens + _HALF_TOKENS)
    damped = np.array(drift.second, np.float64)
    diagonal = np.arange(len(damped))
    damping = DAMPING * float(damped[diagonal, diagonal].mean())
    damped[diagonal, diagonal] += damping or 1.0
    # W (C + d) (H + d)^-1 - W = W (C - H) (H + d)^-1: where nothing has gone astray nothing moves.
    moved = weight @ (drift.crossed - drift.second)
    if drift.stream is not None:
        moved += drift.stream
    corrected: Floating = weight + share * np.linalg.solve(damped, moved.T).T.astype(np.float32)
    return corrected
