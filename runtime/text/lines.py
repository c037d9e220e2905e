"""Ids of a text line by line, remembered: the next keystroke encodes only the line it changed.

A byte-level tokenizer cuts a text into words before it merges bytes, and where a line ends with a
printable sign it always cuts before the line end: no word of its has a sign and then a blank in it.
So the ids of a text are those of its lines, each with the line end before it, one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache

from tokenizers import Tokenizer

LINE_END = "\n"  # as the model has seen them
CACHED_LINES = 16384  # some ten megabytes
LONGEST = 512  # characters; a longer line would take too much memory


class Lines:
    """Encodes texts, and remembers the ids of the lines it has seen."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        """Take `encode` to cut as `cuts_at_line_ends` says."""
        self._encode = encode
        self._seen = lru_cache(CACHED_LINES)(lambda line: tuple(encode(line)))

    def encode(self, text: str) -> list[int]:
        """Return the ids that `text` has as a whole."""
        ids: list[int] = []
        for line in lines_of(text):
            ids.extend(self._seen(line) if len(line) <= LONGEST else self._encode(line))
        return ids


def unix_line_ends(text: str) -> str:
    r"""Return text with `\n` for each `\r\n`."""
    return text.replace("\r\n", LINE_END)


def lines_of(text: str) -> Iterator[str]:
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


def _printable(sign: str) -> bool:
    """Whether it is certainly no blank, by anybody's table."""
    return "!" <= sign <= "~" or sign.isalnum()


def cuts_at_line_ends(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer cuts as this needs: by GPT-2's rule, digits aside at most."""
    if tokenizer.normalizer is not None or tokenizer.truncation is not None:
        return False
    if not all(added.special for added in tokenizer.get_added_tokens_decoder().values()):
        return False  # it could have blanks in it
    if tokenizer.pre_tokenizer is None:
        return False
    rule = json.loads(tokenizer.pre_tokenizer.__getstate__())
    parts = rule["pretokenizers"] if rule["type"] == "Sequence" else [rule]
    *before, last = parts
    return (
        all(part["type"] == "Digits" for part in before)
        and last["type"] == "ByteLevel"
        and last["use_regex"]
        and not last["add_prefix_space"]
    )
