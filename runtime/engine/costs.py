"""What a step over several tokens costs beside a step over one, as this machine shows."""

from __future__ import annotations

import numpy as np

MOST_TOKENS = 16  # of a step whose cost is learned; a longer one is prefill

# int4 at the 1.6B shape on 2 cores with AVX-512 VNNI; without it what lies above 1 is more than
# twice as much, with AMX a seventh.
_TOKENS, _COSTS = (1, 2, 4, 8, 16), (1.0, 1.06, 1.38, 2.19, 3.74)
_ASSUMED = tuple(np.interp(range(MOST_TOKENS + 1), _TOKENS, _COSTS).tolist())
_NEWEST = 0.2  # weight of the newest step
_LEAST, _MOST = 0.05, 8.0  # times what is assumed; beyond, it measures something else


class StepCosts:
    """Costs by the number of tokens: a table, stretched by what steps took."""

    def __init__(self) -> None:
        self._one_s: float | None = None
        self._stretch = 1.0

    def of(self, tokens: int) -> float:
        """Return what a step of so many tokens, at most MOST_TOKENS, costs as a multiple of one."""
        return 1 + self._stretch * (_ASSUMED[tokens] - 1)

    def learn(self, tokens: int, seconds: float) -> None:
        """Take in how long a step took."""
        if tokens == 1:
            before = self._one_s
            self._one_s = seconds if before is None else before + _NEWEST * (seconds - before)
        elif tokens <= MOST_TOKENS and self._one_s:
            seen = (seconds / self._one_s - 1) / (_ASSUMED[tokens] - 1)
            self._stretch += _NEWEST * (min(max(seen, _LEAST), _MOST) - self._stretch)
