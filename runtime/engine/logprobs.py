"""How likely tokens were: log-probabilities of the model itself, before anything is filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .sampling import check_finite


@dataclass(frozen=True)
class Scored:
    """A token, its log-probability in nats, and the likeliest ones with theirs, best first."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def score(row: npt.NDArray[np.float32], token: int, count: int) -> Scored:
    """Return a token's log-probability by logits [V], beside their `count` likeliest.

    Raises:
        BundleError: when the best of them is no finite number.

    """
    wide = row.astype(np.float64)
    best_logit = wide.max()
    check_finite(best_logit)
    wide -= best_logit
    wide -= np.log(np.exp(wide).sum())
    count = min(count, len(wide))
    best = np.argpartition(-wide, count - 1)[:count] if count else np.empty(0, np.int64)
    best = best[np.argsort(-wide[best], kind="stable")]
    return Scored(token, float(wide[token]), tuple((int(i), float(wide[i])) for i in best))


def score_all(rows: npt.NDArray[np.float32], tokens: Sequence[int], count: int) -> list[Scored]:
    """Return each token's log-probability by its own row of logits [T, V]."""
    return [score(row, token, count) for row, token in zip(rows, tokens, strict=True)]
