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
import numpy.typing as npt

from .costs import MOST_TOKENS, StepCosts

NO_ID = -1  # stands between texts that do not follow each other
LONGEST = 16  # ids in a row beyond which matches count as equally long
MOST = MOST_TOKENS - 1  # guesses at once

_LEAST_GAIN = 1.12  # below it a wrong estimate could make matters worse
# How often a guess holds, by how many ids in a row were the same, where the model wrote what is
# followed and elsewhere: what the demo model's answers to the traces show, rounded down.
_RUNS = (1, 2, 3, 4, 5, 8, 16)
_WRITTEN = (0.4, 0.65, 0.7, 0.75, 0.85, 0.85, 0.9)
_READ = (0.25, 0.5, 0.55, 0.6, 0.7, 0.7, 0.75)
_WEIGHT = 1.0  # of that, in guesses
_KEPT = 0.95  # of what was seen, with each step

_Places = npt.NDArray[np.intp]


class Lookup:
    """The ids so far, and how well guesses from them held."""

    def __init__(
        self,
        ids: Sequence[int],
        room: int,
        most: int = MOST,
        *,
        written: int = 0,
        costs: StepCosts | None = None,
    ) -> None:
        """Start from `ids`, which end where the new ones begin; at most `room` are added.

        They may be of several texts, with NO_ID between them; the first `written` are an earlier
        answer and what stood before it. At most `most` are guessed at once.
        """
        self._most, self._costs = most, costs or StepCosts()
        self._ids = np.empty(len(ids) + room, np.int64)
        self._ids[: len(ids)] = ids
        self._size = self._start = len(ids)
        self._written = written
        self._chances: list[float] = []  # of the latest guesses
        self._held = self._expected = 0.0

    def add(self, new_id: int) -> None:
        """Take in an id that was generated."""
        self._ids[self._size] = new_id
        self._size += 1

    def guess(self, most: int) -> list[int]:
        """Return at most `most` ids to evaluate along with the next one; none where none pay."""
        most = min(most, self._most)
        place, chances = self._likeliest(most) if most > 0 else (self._size, [])
        count = best_count(chances, self._costs)
        if count == 0:
            return []
        self._chances = chances
        # Where the match is about to reach the end, text goes round in circles: so does the guess.
        around = place + np.arange(count) % (self._size - place)
        found: list[int] = self._ids[around].tolist()
        return found[: found.index(NO_ID)] if NO_ID in found else found

    def learn(self, guessed: int, held: int) -> None:
        """Take in how many of some guesses held; the one after the last that held did not."""
        tried = min(held + 1, guessed)
        self._held = _KEPT * self._held + held
        self._expected = _KEPT * self._expected + sum(self._chances[:tried])

    def _likeliest(self, most: int) -> tuple[int, list[float]]:
        """Return where the ids go on that probably come next, and how likely each is to hold."""
        ids, size = self._ids, self._size
        ends = np.flatnonzero(ids[: size - 1] == ids[size - 1]) if size > 1 else np.empty(0, int)
        own = (ends < self._written - 1) | (ends >= self._start)
        best: tuple[int, list[float]] = size, []
        for matches, table in ((ends[own], _WRITTEN), (ends[~own], _READ)):
            place, run = self._latest_of_longest(matches)
            if run:
                likely = np.interp(run + np.arange(most), _RUNS, table)
                if not best[1] or likely[0] > best[1][0]:
                    best = place, likely.tolist()
        better = (self._held + _WEIGHT) / (self._expected + _WEIGHT)
        return best[0], [min(0.98, better * chance) for chance in best[1]]

    def _latest_of_longest(self, ends: _Places) -> tuple[int, int]:
        """Return where the ids go on behind the match that is longest, and how long it is."""
        ids, size, run = self._ids, self._size, 0
        longer = ends
        while len(longer):
            ends, run = longer, run + 1
            if run == LONGEST:
                break
            inside = ends[ends >= run]
            longer = inside[ids[inside - run] == ids[size - 1 - run]]
        return (int(ends[-1]) + 1, run) if run else (size, 0)


def best_count(chances: Sequence[float], costs: StepCosts) -> int:
    """Return how many guesses make the most tokens for the time.

    `chances` say of each guess how likely it is to hold, if all before it do.
    """
    best, gain = 0, _LEAST_GAIN
    expected, all_hold = 1.0, 1.0
    for count, chance in enumerate(chances, 1):
        all_hold *= chance
        expected += all_hold
        found = expected / costs.of(count + 1)
        if found > gain:
            best, gain = count, found
    return best
