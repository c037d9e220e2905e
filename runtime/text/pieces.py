"""SentencePiece's vocabularies as the runtime reads them: pieces of text in which a blank is ▁.

Export writes such a tokenizer without the blank that SentencePiece puts before a text: layouts put
it where a model was trained with it, and nowhere else. There are no words: bytes are merged, or the
likeliest pieces chosen, in the text as a whole.
"""

from __future__ import annotations

import re
from typing import Any

from tokenizers import Tokenizer

from .lines import LINE_END, Cut
from .states import short, state

BLANK = "\u2581"  # ▁, by which a piece writes a blank
KINDS = ("BPE", "Unigram")
BLANKS_ONLY = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}

_BYTE = re.compile("<0x([0-9A-F]{2})>")  # of a character that is no piece


def has_pieces(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer writes blanks as ▁."""
    return any(step == BLANKS_ONLY for step in _steps(tokenizer))


def pieces_problems(tokenizer: Tokenizer) -> list[str]:
    """Return how a tokenizer with pieces differs from those that the runtime reads."""
    problems = []
    if tokenizer.pre_tokenizer is not None:
        cut = short(state(tokenizer.pre_tokenizer))
        problems.append(f"pre_tokenizer is {cut}, expected none before pieces of text")
    if _steps(tokenizer) != [BLANKS_ONLY]:
        normalizer = short(state(tokenizer.normalizer))
        problems.append(f"normalizer is {normalizer}, expected blanks written as {BLANK} alone")
    return problems


def piece_bytes(piece: str) -> bytes:
    """Return the bytes of text that a piece stands for."""
    if byte := _BYTE.fullmatch(piece):
        return bytes.fromhex(byte[1])
    return piece.replace(BLANK, " ").encode()


def pieces_cut(tokenizer: Tokenizer) -> Cut | None:
    """Return where lines may be cut: behind a line end that no piece goes on behind."""
    for piece in tokenizer.get_vocab(with_added_tokens=True):
        if LINE_END in piece.rstrip(LINE_END):
            return None
    return "behind"


def _steps(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    normalizer = state(tokenizer.normalizer)
    if normalizer is None:
        return []
    steps: list[dict[str, Any]] = normalizer.get("normalizers", [normalizer])
    return steps
