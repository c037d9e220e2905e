"""Where a completion ends besides at stop strings: with its block, or where it repeats text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..annotated import check_fields
from ..errors import OptionError
from .loops import LoopScanner
from .stops import Scanner

FENCE = "```"
_TELLING = re.compile(r"\w.*\w.*\w", re.S)  # a line such as `})` says nothing by being repeated


@dataclass(frozen=True)
class Endings:
    """Rules that end a completion early.

    The defaults did best on held-out code (`python -m bench.endings`): beside the blank
    line that ends most completions, ending with the block wins nothing and cuts some short.

    Args:
        block: before a line that is indented less than the cursor's.
        repeat: before a line that is the next one after the cursor.
        least_indent: before a line that is indented by fewer characters; None for no such rule.
        line_ms: once a line has ended and so many milliseconds have passed since the first text;
            None for no such rule.
        least_probability: before the first token less likely than that; 0 never.
        loop: before lines that repeat the ones above them again and again, or where a line repeats
            its own text; see `LoopScanner`.
        fence: before a line of three backticks where the file has none: models that were trained on
            conversations close what they take for an example, and explain it.

    Raises:
        OptionError: when the probability is none, or a value is of another type.

    """

    block: bool = False
    repeat: bool = True
    least_probability: float = 0.0
    least_indent: int | None = None
    line_ms: float | None = None
    loop: bool = True
    fence: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.least_probability < 1:
            raise OptionError(
                f"least_probability {self.least_probability}; expected 0 or more and under 1"
            )

    def scanners(self, prefix: str, suffix: str) -> list[Scanner]:
        """Return all that watch a completion between `prefix` and `suffix`."""
        scanners: list[Scanner] = [self.scanner(prefix, suffix)]
        if self.loop:
            scanners.append(LoopScanner(prefix[prefix.rfind("\n") + 1 :]))
        if self.line_ms is not None:
            scanners.append(LineClock(self.line_ms))
        return scanners

    def scanner(self, prefix: str, suffix: str) -> LineScanner:
        """Return what watches the lines of a completion between `prefix` and `suffix`."""
        before = prefix[prefix.rfind("\n") + 1 :]
        after = (line.strip() for line in suffix.split("\n", 20)[1:20])
        following = next((line for line in after if line), "")
        telling = self.repeat and _TELLING.search(following)
        indent = _indent(before) if self.block else 0
        least = indent if self.least_indent is None else self.least_indent
        fence = self.fence and FENCE not in prefix and FENCE not in suffix
        return LineScanner(before, least, following if telling else "", fence=fence)


NO_ENDINGS = Endings(repeat=False, loop=False, fence=False)


class LineScanner:
    """Passes on lines as they come, up to one that the text should end before.

    The start of a line is held back, with the line end before it, until it is certain to stay.
    """

    def __init__(self, before: str, indent: int, following: str, *, fence: bool = False) -> None:
        """Watch a text that goes on from the line `before`.

        Lines indented less than `indent` end it, and a line like `following`, if that says
        anything; with `fence` one that begins with three backticks, too.
        """
        self._fence = fence
        self._line_start, self._indent, self._following = before, indent, following
        self._first, self._passing = True, False
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Return the text that is safe to show after `piece`; sets `stopped` at the end."""
        text, passed, self._held = self._held + piece, "", ""
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
                passed += text[: start + len(line)]
                text = text[start + len(line) :]
                self._passing = not whole
        return passed

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
        if self._fence and not self._first and line.lstrip().startswith(FENCE):
            return True
        return not self._first and bool(line.strip()) and _indent(line) < self._indent

    def _undecided(self, line: str) -> bool:
        so_far = (self._line_start + line).strip()
        blank = not line.strip() and not self._first and self._indent > 0
        fence = self._fence and not self._first and FENCE.startswith(line.lstrip())
        return blank or fence or (bool(self._following) and self._following.startswith(so_far))


class LineClock:
    """Ends a text at the first line end after so many milliseconds of text."""

    def __init__(self, limit_ms: float, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start with the first piece; `clock` returns seconds."""
        self._limit_s, self._clock = limit_ms / 1000, clock
        self._start: float | None = None
        self.stopped = False

    def push(self, piece: str) -> str:
        """Return the text up to the line end that came too late; sets `stopped` there."""
        now = self._clock()
        if self._start is None and piece:
            self._start = now
        end = piece.find("\n")
        if end >= 0 and self._start is not None and now - self._start > self._limit_s:
            self.stopped = True
            return piece[:end]
        return piece

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
