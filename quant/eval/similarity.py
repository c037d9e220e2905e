"""How alike two texts are."""

from __future__ import annotations

import numpy as np


def edit_distance(a: str, b: str) -> int:
    """Return the fewest insertions, deletions and replacements of characters (Levenshtein)."""
    if not a or not b:
        return len(a) + len(b)
    letters = np.array([*map(ord, b)])
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for count, letter in enumerate(a, 1):
        costs = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(letter)))
        row = np.concatenate(([count], costs))
        # An insertion costs one more than the place to its left: a running minimum of differences.
        row = np.minimum.accumulate(row - steps) + steps
    return int(row[-1])


def similarity(a: str, b: str) -> float:
    """Return 1 less the edit distance as a share of the longer text; 1 for two empty ones."""
    longer = max(len(a), len(b))
    return 1.0 - edit_distance(a, b) / longer if longer else 1.0
