"""Where a completion ends besides at stop strings: with its block, or where it repeats the file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import OptionError

_TELLING = re.compile(r"\w.*\w.*\w", re.S)  # a line such as `})` says nothing by being repeated


@dataclass(frozen=True)
class Endings:
    """Rules that end a completion early.

    The defaults are what held-out code speaks for (`python -m bench.endings`): beside the blank
    line that ends most completions, ending with the block wins nothing and cuts some short.

    Args:
        block: before a line that is indented less than the cursor's.
        repeat: before a line that is the next one after the cursor.
        least_probability: before the first token that the model holds for less likely; 0 never.

    Raises:
        OptionError: when the probability is none.

    """

    block: bool = False
    repeat: bool = True
    least_probability: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_probability < 1:
            raise OptionError(
                f"least_probability {self.least_probability}; expected 0 or more and under 1"
            )

    def scanner(self, prefix: str, suffix: str) -> LineScanner:
        """Return what watches the lines of a completion between `prefix` and `suffix`."""
        before = prefix[prefix.rfind("\n") + 1 :]
        after = (line.strip() for line in suffix.split("\n", 20)[1:20])
        following = next((line for line in after if line), "")
        telling = self.repeat and _TELLING.search(following)
        return LineScanner(
            before, _indent(before) if self.block else 0, following if telling else ""
        )


NO_ENDINGS = Endings(repeat=False)


class LineScanner:
    """Passes on lines as they come, up to one that the text should end before.

    The start of a line is held back, with the line end before it, until it is certain to stay.
    """

    def __init__(self, before: str, indent: int, following: str) -> None:
        """Watch a text that goes on from the line `before`.

        Lines indented less than `indent` end it, and a line like `following`, if that says
        anything.
        """
        self._line_start, self._indent, self._following = before, indent, following
        self._first, self._passing = True, False
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Return the text that is safe to show after `piece`; sets `stopped` at the end."""
        text, shown, self._held = self._held + piece, "", ""
        while text and not self.stopped:
            start = int(text[0] == "\n" and not self._passing)
            if start:
                self._first, self._line_start = False, ""
            end = text.find("\n", start)
            line, whole = text[start : end if end >= 0 else None], end >= 0
            if not self._passing and self._ends(line, whole):
                self.stopped = True
            elif not self._passing and not whole and self._undecided(line):
                self._held, text = text, ""
            else:
                shown += text[: start + len(line)]
                text = text[start + len(line) :]
                self._passing = not whole
        return shown

    def flush(self) -> str:
        """Return what was held back, when the text has ended by itself."""
        start = int(self._held.startswith("\n"))
        held, self._held = self._held, ""
        if held and self._ends(held[start:], whole=True):
            self.stopped = True
            return ""
        return held

    def _ends(self, line: str, whole: bool) -> bool:
        if whole and self._following and (self._line_start + line).strip() == self._following:
            return True
        return not self._first and bool(line.strip()) and _indent(line) < self._indent

    def _undecided(self, line: str) -> bool:
        so_far = (self._line_start + line).strip()
        blank = not line.strip() and not self._first and self._indent > 0
        return blank or (bool(self._following) and self._following.startswith(so_far))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
