"""Cutting a text stream: at stop strings, and at the spaces around an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import OptionError


class Scanner(Protocol):
    """Passes a text on as it comes, up to where it should end."""

    stopped: bool

    def push(self, piece: str) -> str:
        """Return the text that is safe to show after `piece`; sets `stopped` at the end."""
        ...

    def flush(self) -> str:
        """Return what was held back, when the stream has ended by itself."""
        ...


class StopScanner:
    """Finds the first stop string in a stream of pieces, also across their borders.

    Text that may still become a stop string is held back; text before one is passed on. `match` is
    the string that was found; empty before that.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Watch for `stops`.

        Raises:
            OptionError: when one of them is empty.

        """
        if any(not stop for stop in stops):
            raise OptionError("a stop string is empty; expected at least one character")
        self._stops = tuple(stops)
        self._held = ""
        self.stopped, self.match = False, ""

    def push(self, piece: str) -> str:
        """Return the text that is safe to show after `piece`; sets `stopped` at a stop string."""
        text = self._held + piece
        matches = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if matches:
            at, self.match = min(matches, key=lambda pair: pair[0])
            self.stopped, self._held = True, ""
            return text[:at]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back, when the stream has ended without a stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-size:]):
            return size
    return 0


class AnswerTrimmer:
    """Drops the space a chat answer begins with and the line ends it closes with."""

    def __init__(self, *, started: bool = False) -> None:
        """Drop nothing at the beginning where the answer has `started` before."""
        self._started = started
        self._held = ""

    def push(self, piece: str) -> str:
        """Return what of the text so far is certain to stay."""
        if not self._started and piece:
            self._started = True
            piece = piece.removeprefix(" ")
        text = self._held + piece
        certain = text.rstrip("\n")
        self._held = text[len(certain) :]
        return certain
