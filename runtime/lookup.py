"""Guesses at the next ids: what followed the last ones where they stood before.

Code repeats itself, and what the model wrote a keystroke ago it mostly writes again. A step over
several ids costs little more than one over a single id, so that guesses which often hold are
nearly free (prompt lookup; the check is that of Leviathan et al. 2023, "Fast Inference from
Transformers via Speculative Decoding"). Looking through a whole context takes some microseconds:
there is no index to keep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NO_ID = -1  # stands between texts that do not follow each other
LONGEST = 16  # ids in a row beyond which matches count as equally long
MOST = 15  # guesses at once

# What a step of so many tokens costs, as a multiple of one (int4 at the 1.6B shape, 2 cores).
_TOKENS, _COSTS = (1, 2, 4, 8, 16), (1.0, 1.06, 1.38, 2.19, 3.74)
_LEAST_GAIN = 1.05  # below it a wrong estimate could make matters worse
# How often a guess holds, by how many ids in a row were the same: what is assumed at first, and
# with the weight of how many observations.
_RUNS, _HOLDS = (1, 2, 3, 4, 8, 16), (0.2, 0.35, 0.5, 0.6, 0.8, 0.9)
_WEIGHT = 2.0
_KEPT = 0.95  # of what was seen, with each step


class Lookup:
    """The ids so far, and how well guesses from them held."""

    def __init__(self, ids: Sequence[int], room: int, most: int = MOST) -> None:
        """Start from `ids`, which end where the new ones begin; at most `room` are added.

        They may be of several texts, with NO_ID between them. At most `most` are guessed at once.
        """
        self._most = most
        self._ids = np.empty(len(ids) + room, np.int64)
        self._ids[: len(ids)] = ids
        self._size = len(ids)
        self._held = self._seen = 0.0  # beyond, or below, what was assumed

    def add(self, new_id: int) -> None:
        """Take in an id that was generated."""
        self._ids[self._size] = new_id
        self._size += 1

    def guess(self, most: int) -> list[int]:
        """Return at most `most` ids to evaluate along with the next one; none where none pay."""
        most = min(most, self._most)
        place, run = self._latest_match() if most > 0 else (self._size, 0)
        if run == 0:
            return []
        count = best_count(self._chance(run), most)
        # Where the match is about to reach the end, text goes round in circles: so does the guess.
        around = place + np.arange(count) % (self._size - place)
        found: list[int] = self._ids[around].tolist()
        return found[: found.index(NO_ID)] if NO_ID in found else found

    def learn(self, guessed: int, held: int) -> None:
        """Take in how many of some guesses held; the one after the last that held did not."""
        self._held = _KEPT * self._held + held
        self._seen = _KEPT * self._seen + held + (held < guessed)

    def _chance(self, run: int) -> float:
        """Return how likely a guess is to hold, when `run` ids in a row were the same."""
        assumed = float(np.interp(run, _RUNS, _HOLDS))
        return (self._held + _WEIGHT * assumed) / (self._seen + _WEIGHT)

    def _latest_match(self) -> tuple[int, int]:
        """Return where the ids go on that end most like these do, and how many are the same."""
        ids, size = self._ids, self._size
        if size < 2:
            return size, 0
        ends = np.flatnonzero(ids[: size - 1] == ids[size - 1])
        run = 0
        longer = ends
        while len(longer):
            ends, run = longer, run + 1
            if run == LONGEST:
                break
            inside = ends[ends >= run]
            longer = inside[ids[inside - run] == ids[size - 1 - run]]
        return (int(ends[-1]) + 1, run) if run else (size, 0)


def best_count(chance: float, most: int) -> int:
    """Return how many guesses make the most tokens for the time, if each holds with `chance`."""
    best, gain = 0, _LEAST_GAIN
    expected, all_hold = 1.0, 1.0
    for count in range(1, most + 1):
        all_hold *= chance
        expected += all_hold
        found = expected / float(np.interp(count + 1, _TOKENS, _COSTS))
        if found > gain:
            best, gain = count, found
    return best
