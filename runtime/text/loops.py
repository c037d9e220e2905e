"""Ending a text that goes round in circles: the same lines, or a part of one, again and again.

Small models, and unsure ones, repeat themselves until they have no tokens left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

LONGEST_CHARACTERS = 1024  # of what is repeated


@dataclass(frozen=True)
class Rule:
    """How many copies, of how many characters together, make a loop."""

    copies: int
    characters: int


# Looser ones would end more loops sooner, and more of what people write: `python -m bench.endings`
# counts both.
LINES = Rule(3, 40)
WITHIN_A_LINE = Rule(4, 40)
WITHOUT_A_WORD = Rule(8, 160)  # tables of data, rules of signs, blank lines

_WORD, _REST = re.compile(r"\b[^\W\d]\w*"), re.compile(r"\w+")


class LoopScanner:
    """Passes a text on, and ends it where its lines go round in circles, or where a line does.

    Held back is what may yet be the start of a loop: lines as long as they are the same as those
    before them, and the third copy of a part of a line.
    """

    def __init__(self, before: str = "") -> None:
        """Watch a text that goes on from the line `before`; lines above it may be repeated."""
        self.stopped = False
        self._text, self._line_start = "", 0
        self._codes = np.zeros(2 * LONGEST_CHARACTERS, np.uint32)  # of characters, latest first
        self._latest = LONGEST_CHARACTERS
        self._periods = np.arange(1, LONGEST_CHARACTERS + 1)
        # For each period: how many characters at the end are the same as those a period before.
        self._runs = np.zeros_like(self._periods)
        self._least = (min(LINES.copies, WITHIN_A_LINE.copies) - 1) * self._periods
        for sign in "\n" + before[-LONGEST_CHARACTERS:]:
            self._add(sign)
        self._output_end = len(self._text)

    def push(self, piece: str) -> str:
        """Return the text that is safe to show after `piece`; sets `stopped` at the end."""
        for sign in piece:
            self._add(sign)
            end = self._loop_start()
            if end is not None:
                self.stopped = True
                return self._show(end)
        return self._show(self._certain())

    def flush(self) -> str:
        """Return what was held back, when the text has ended by itself."""
        return self._show(len(self._text))

    def _show(self, end: int) -> str:
        start, self._output_end = self._output_end, max(self._output_end, end)
        return self._text[start:end]

    def _add(self, sign: str) -> None:
        """Lengthen the runs by the next character, or end them."""
        code = ord(sign) + 1  # 0 stands before the text
        self._runs += 1
        self._runs *= self._codes[self._latest : self._latest + LONGEST_CHARACTERS] == code
        if self._latest == 0:
            self._codes[LONGEST_CHARACTERS:] = self._codes[:LONGEST_CHARACTERS]
            self._latest = LONGEST_CHARACTERS
        self._latest -= 1
        self._codes[self._latest] = code
        self._text += sign
        if sign == "\n":
            self._line_start = len(self._text)

    def _loop_start(self) -> int | None:
        """Return where a text that goes round in circles should end; None when it does not."""
        for period in self._periods[self._runs >= self._least].tolist():
            first = len(self._text) - int(self._runs[period - 1]) - period
            unit = self._text[-period:]
            lines = "\n" in unit
            rule = LINES if lines else WITHIN_A_LINE
            if not _WORD.search(unit):
                rule = WITHOUT_A_WORD
            # Lines are whole with the line end behind them: `None,` is not yet another `None)`.
            end = self._text.find("\n", first + period) if lines else first + 2 * period
            last = end + period * (rule.copies - 1) + 1 if lines else first + period * rule.copies
            if len(self._text) >= max(last, first + rule.characters):
                return end if lines else self._word_end(end, period)
        return None

    def _word_end(self, end: int, period: int) -> int:
        """Return `end`, or where the word that it lies in ends, if that repeats nothing itself."""
        rest = _REST.match(self._text, end - 1)
        return rest.end() if rest and rest.end() < end + period else end

    def _certain(self) -> int:
        """Return how much of the text no loop can cut any more."""
        size = len(self._text)
        within = self._runs + self._periods <= size - self._line_start
        third = int((self._runs - self._periods).max(where=within, initial=0))
        copy = self._text.find("\n", size - int(self._runs.max()))
        return min(size - third, size if copy < 0 else copy)
