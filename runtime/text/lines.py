"""Ids of a text line by line, remembered: the next keystroke encodes only the line it changed.

A byte-level tokenizer cuts a text into words before it merges bytes. Where no word ever spans a
place, the ids of a text are those of the pieces between such places, one after the other. By
GPT-2's rule a word that has a sign has no blank behind it: it is always cut before a line end that
follows a printable sign. By the rules of Qwen2 and Llama 3 signs take the line ends behind them
along, but nothing follows the last of several line ends in one word: it is cut behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal

Cut = Literal["before", "behind"]  # of a line end, where words are cut for certain

LINE_END = "\n"  # as the model has seen them
CACHED_LINES = 16384  # some ten megabytes
LONGEST = 512  # characters; a longer line would take too much memory


class Lines:
    """Encodes texts, and remembers the ids of the lines it has seen."""

    def __init__(self, encode: Callable[[str], list[int]], cut: Cut) -> None:
        """Take `encode` to cut there."""
        self._encode, self._pieces = encode, _PIECES[cut]
        self._seen = lru_cache(CACHED_LINES)(lambda line: tuple(encode(line)))

    def encode(self, text: str) -> list[int]:
        """Return the ids that `text` has as a whole."""
        ids: list[int] = []
        for line in self._pieces(text):
            ids.extend(self._seen(line) if len(line) <= LONGEST else self._encode(line))
        return ids


def unix_line_ends(text: str) -> str:
    r"""Return text with `\n` for each `\r\n`."""
    return text.replace("\r\n", LINE_END)


def cut_before(text: str) -> Iterator[str]:
    r"""Yield pieces of `text` that each but the first begin with \n, behind a printable sign."""
    first, *others = text.split("\n")
    piece = first
    for line in others:
        if _printable(piece[-1:]):
            yield piece
            piece = "\n" + line
        else:
            piece += "\n" + line
    if piece:
        yield piece


def cut_behind(text: str) -> Iterator[str]:
    r"""Yield pieces of `text` that each but the last end with \n.

    They end before a line that has a printable sign, or is the last one.
    """
    first, *others = text.split("\n")
    piece = first
    for number, line in enumerate(others, start=1):
        piece += "\n"
        last = number == len(others)
        if "\r" not in line and (last or any(map(_printable, line))):
            yield piece
            piece = ""
        piece += line
    if piece:
        yield piece


_PIECES: dict[Cut, Callable[[str], Iterator[str]]] = {"before": cut_before, "behind": cut_behind}


def _printable(sign: str) -> bool:
    """Whether it is certainly no blank, by anybody's table."""
    return "!" <= sign <= "~" or sign.isalnum()
