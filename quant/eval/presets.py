"""Runs that redo the rows of the model card, and what it says of them.

The card gives temperatures and figures, no more. The number of samples where it is not named, the
nucleus of 0.95 (Chen et al. 2021) and all of the chat's method are our guesses.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preset:
    """Settings of a run; `published` is the card's pass@k in percent, in full precision."""

    form: str
    samples: int
    temperature: float
    published: dict[int, float] = field(default_factory=dict)
    top_p: float = 0.95
    top_k: int = 0

    def published_for(self, problems: int) -> dict[int, float]:
        """Return the card's figures, for a run of all of HumanEval's problems alone."""
        return self.published if problems == HUMANEVAL_PROBLEMS else {}


HUMANEVAL_PROBLEMS = 164
DEFAULT = "greedy"
PRESETS = {
    "greedy": Preset("ltr", 1, 0.01, {1: 32.0}),
    "cool": Preset("ltr", 20, 0.2, {1: 31.5}),
    "warm": Preset("ltr", 200, 0.8, {10: 53.0, 100: 76.9}),
    "chat": Preset("chat", 20, 0.2, {1: 38.4, 10: 55.6}),
}
# The infilling benchmarks have no published figure for this model.
INFILLING = Preset("spm", 1, 0.0)
