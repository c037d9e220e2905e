"""Drafts of the next ids: what followed the last ones where they stood before.

Code repeats itself, and what the model generated a keystroke ago it mostly generates again. A step
over several ids costs little more than one over a single id, so that drafts which are often
accepted are nearly free (prompt lookup; the check is that of Leviathan et al. 2023, "Fast Inference
from Transformers via Speculative Decoding"). Looking through a whole context takes some
microseconds: there is no index to keep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .costs import MOST_TOKENS, StepCosts

NO_ID = -1  # stands between texts that do not follow each other
LONGEST = 16  # ids in a row beyond which matches count as equally long
MOST = MOST_TOKENS - 1  # ids of a draft

_LEAST_GAIN = 1.12  # below it a wrong estimate could make matters worse
# How often a drafted id is accepted, by how many ids in a row were the same, where the model itself
# generated what is followed and elsewhere: figures of the demo model on the traces, rounded down.
_RUNS = (1, 2, 3, 4, 5, 8, 16)
_GENERATED = (0.4, 0.65, 0.7, 0.75, 0.85, 0.85, 0.9)
_PROMPT = (0.25, 0.5, 0.55, 0.6, 0.7, 0.7, 0.75)
_WEIGHT = 1.0  # of those figures, in drafted ids
_DECAY = 0.95  # of accepted and expected ids, with each step

_Places = npt.NDArray[np.intp]


class Lookup:
    """The ids so far, and how many drafted from them were accepted."""

    def __init__(
        self,
        ids: Sequence[int],
        room: int,
        most: int = MOST,
        *,
        generated: int = 0,
        costs: StepCosts | None = None,
    ) -> None:
        """Start from `ids`, which end where the new ones begin; at most `room` are added.

        They may be of several texts, with NO_ID between them; the first `generated` are an
        earlier answer and what stood before it. At most `most` are drafted at once.
        """
        self._most, self._costs = most, costs or StepCosts()
        self._ids = np.empty(len(ids) + room, np.int64)
        self._ids[: len(ids)] = ids
        self._size = self._start = len(ids)
        self._generated = generated
        self._chances: list[float] = []  # of the latest draft's ids
        self._accepted = self._expected = 0.0

    def add(self, new_id: int) -> None:
        """Take in an id that was generated."""
        self._ids[self._size] = new_id
        self._size += 1

    def draft(self, most: int) -> list[int]:
        """Return at most `most` ids to evaluate along with the next one; none where none pay."""
        most = min(most, self._most)
        place, chances = self._likeliest(most) if most > 0 else (self._size, [])
        count = best_count(chances, self._costs)
        if count == 0:
            return []
        self._chances = chances
        # Where the match is about to reach the end, text goes round in circles: so does the draft.
        around = place + np.arange(count) % (self._size - place)
        ids: list[int] = self._ids[around].tolist()
        return ids[: ids.index(NO_ID)] if NO_ID in ids else ids

    def learn(self, drafted: int, accepted: int) -> None:
        """Take in how many ids of a draft were accepted; the next one was not."""
        tried = min(accepted + 1, drafted)
        self._accepted = _DECAY * self._accepted + accepted
        self._expected = _DECAY * self._expected + sum(self._chances[:tried])

    def _likeliest(self, most: int) -> tuple[int, list[float]]:
        """Return where the ids go on that probably come next, and how likely each is accepted."""
        ids, size = self._ids, self._size
        ends = np.flatnonzero(ids[: size - 1] == ids[size - 1]) if size > 1 else np.empty(0, int)
        own = (ends < self._generated - 1) | (ends >= self._start)
        best: tuple[int, list[float]] = size, []
        for matches, table in ((ends[own], _GENERATED), (ends[~own], _PROMPT)):
            place, run = self._latest_of_longest(matches)
            if run:
                likely = np.interp(run + np.arange(most), _RUNS, table)
                if not best[1] or likely[0] > best[1][0]:
                    best = place, likely.tolist()
        better = (self._accepted + _WEIGHT) / (self._expected + _WEIGHT)
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
    """Return how many drafted ids make the most tokens for the time.

    `chances` say of each how likely it is accepted, if all before it are.
    """
    best, gain = 0, _LEAST_GAIN
    expected, all_accepted = 1.0, 1.0
    for count, chance in enumerate(chances, 1):
        all_accepted *= chance
        expected += all_accepted
        ratio = expected / costs.of(count + 1)
        if ratio > gain:
            best, gain = count, ratio
    return best
