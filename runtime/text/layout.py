"""One layout: special tokens as ids and text with a slot, {}, that carries what a user wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Encode = Callable[[str], list[int]]
Layout = tuple[int | str, ...]

MOST_PARTS, MOST_CHARACTERS = 64, 4096  # of a layout, which is a handful of tokens and words


def fill(layout: Layout, text: str, encode: Encode) -> list[int]:
    """Return the ids of a layout whose strings carry `text` in place of {}."""
    ids: list[int] = []
    for part in layout:
        ids.extend([part] if isinstance(part, int) else encode(part.replace("{}", text)))
    return ids


def to_slot(layout: Layout) -> Layout:
    """Return a layout up to the end of its text."""
    at = next((i for i, part in enumerate(layout) if "{}" in str(part)), len(layout))
    return (*layout[:at], *(str(part).partition("{}")[0] + "{}" for part in layout[at : at + 1]))


def read_layout(parts: Any, special: frozenset[int]) -> Layout:
    """Return the parts of a layout, each a special token's id or a text.

    Raises:
        ValueError: when it is none.

    """
    if len(parts) > MOST_PARTS or sum(len(str(part)) for part in parts) > MOST_CHARACTERS:
        raise ValueError(f"a layout of {len(parts)} parts, or too long a text")
    for part in parts:
        if not isinstance(part, str) and read_id(part) not in special:
            raise ValueError(f"part {part} is not among the special ids")
    return tuple(parts)


def read_id(value: Any) -> int:
    """Return an id, or raise a ValueError."""
    if type(value) is not int or value < 0:  # bool is a kind of int
        raise ValueError(f"{value!r:.60} is no id")
    return value


def read_text(value: Any) -> str:
    """Return a text, or raise a TypeError."""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise TypeError(f"{value!r:.60} is no text, or too long a one")
    return value
