"""Figures of samples: pass@k, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

RESAMPLES = 10_000
SHARE = 0.95
KS = (1, 10, 100)


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return the chance that one of `k` drawn samples passes (Chen et al. 2021, unbiased).

    1 - C(n - c, k) / C(n, k) in whole numbers, for n samples of which c passed; n >= k.
    """
    return 1.0 - comb(samples - passed, k) / comb(samples, k)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `values`, one for each problem."""
    data = np.asarray(values, np.float64)
    random = np.random.default_rng(seed)
    means = [data[random.integers(len(data), size=len(data))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p-value of McNemar's test, for the pairs that differ.

    The chance of a split at least as uneven when each falls to either side like a coin.
    """
    pairs, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(pairs, count) for count in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**pairs))
