"""A tokenizer.json with SentencePiece's pieces, in the one form that the runtime reads.

Files say in three ways that a blank is written as ▁ and that one stands before each text: by a
normalizer, as files converted from tokenizer.model have it; by Metaspace, as newer ones do; and not
at all, where a model was trained without.
"""

from __future__ import annotations

from typing import Any

from ..runtime.text.pieces import BLANK, BLANKS_ONLY

_PREPEND = {"type": "Prepend", "prepend": BLANK}
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False}
_NO_CUT = {  # at blanks that the normalizer has replaced
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}


def added_token(token: int, content: str, *, special: bool) -> dict[str, Any]:
    """Return an entry of added_tokens; one that is not special is found in text with ▁ in it."""
    entry = {"id": token, "content": content, **_FLAGS, "special": special}
    return {**entry, "normalized": not special}


def pieces_pipeline(*, prepends: bool) -> dict[str, Any]:
    """Return what a tokenizer.json with pieces does to text; `prepends` a blank or not."""
    steps = [_PREPEND, BLANKS_ONLY] if prepends else [BLANKS_ONLY]
    return {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}


def make_canonical(content: dict[str, Any]) -> str:
    """Rewrite a tokenizer.json with pieces; return what it puts before each text: a blank or "".

    What it does not know it leaves for the pipeline's check to refuse.
    """
    steps = _steps(content.get("normalizer"), "normalizers")
    cut = content.get("pre_tokenizer")
    blank = ""
    if isinstance(cut, dict) and _is_metaspace(cut):
        blank = "" if cut["prepend_scheme"] == "never" else " "
        steps, cut = [*steps, BLANKS_ONLY], None
    elif _PREPEND in steps:
        blank = " "
    if BLANKS_ONLY not in steps:
        return ""
    # Prepended or not, what stands before the last step is done to the text itself.
    before = [step for step in steps if step not in (_PREPEND, BLANKS_ONLY)]
    content["normalizer"] = (
        {"type": "Sequence", "normalizers": [*before, BLANKS_ONLY]} if before else BLANKS_ONLY
    )
    content["pre_tokenizer"] = None if cut == _NO_CUT else cut
    return blank


def writes_pieces(content: dict[str, Any]) -> bool:
    """Return whether a tokenizer.json in that form writes blanks as ▁."""
    return BLANKS_ONLY in _steps(content.get("normalizer"), "normalizers")


def _steps(part: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(part, dict):
        return []
    steps = part.get(name, [part])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return []  # the library says what is wrong with it
    return steps


def _is_metaspace(cut: dict[str, Any]) -> bool:
    """Whether blanks are replaced, and nothing is cut there."""
    return (
        cut.get("type") == "Metaspace"
        and cut.get("replacement") == BLANK
        and cut.get("split") is False
        and cut.get("prepend_scheme") in ("first", "always", "never")
    )
