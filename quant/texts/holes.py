"""Holes for fill-in-the-middle, cut into source files.

`line`   one whole line after its indent, without its line end.
`span`   any characters, across lines and within words.
`body`   the indented lines below a line that opens a block; the first indent is already typed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from ...runtime.errors import EvalError, OptionError
from .sources import Source

LINE, SPAN, BODY = "line", "span", "body"
LONGEST_CHARACTERS = {LINE: 200, SPAN: 200, BODY: 600}
ATTEMPTS = 40  # draws a hole that is found, before giving up

Place = tuple[int, int]

_LETTERS = re.compile(r"\w\w")
_OPENS = re.compile(
    r"^[ \t]*\S.*[:{][ \t]*$|^[ \t]*(?:def|do|for|func|function|if|while)\b.*$", re.M
)


@dataclass(frozen=True)
class Hole:
    """A text with a hole; `name` says where: file, kind, first character and length."""

    name: str
    kind: str
    file: str
    prefix: str
    middle: str
    suffix: str


def fingerprint(holes: Sequence[Hole]) -> str:
    """Return the sha256 of holes and of the texts around them."""
    digest = hashlib.sha256()
    for hole in holes:
        digest.update(repr((hole.name, hole.prefix, hole.middle, hole.suffix)).encode())
    return digest.hexdigest()


def whole_line(text: str, random: Random) -> Place | None:
    """Cut a line, from its first character that is not blank."""
    start, end = _line_at(text, random.randrange(len(text)))
    return _trimmed(text, start, end)


def characters(text: str, random: Random) -> Place | None:
    """Cut one to the most characters that a span may have, from anywhere."""
    start = random.randrange(len(text))
    return start, min(len(text), start + random.randint(1, LONGEST_CHARACTERS[SPAN]))


def body(text: str, random: Random) -> Place | None:
    """Cut what is indented deeper than a line that opens a block, up to where that ends."""
    openings = list(_OPENS.finditer(text))
    if not openings:
        return None
    opening = random.choice(openings)
    outer = _indent(opening.group())
    start = end = opening.end() + 1
    while end < len(text):
        _, stop = _line_at(text, end)
        line = text[end:stop]
        if line.strip() and _indent(line) <= outer:
            break
        end = stop + 1
    return _trimmed(text, start, min(end, len(text)))


KINDS: dict[str, Callable[[str, Random], Place | None]] = {
    LINE: whole_line,
    SPAN: characters,
    BODY: body,
}


def cut_holes(
    files: Sequence[Source], kinds: Sequence[str], count: int, seed: int
) -> tuple[Hole, ...]:
    """Return up to `count` different holes, spread over kinds and files; one seed, one result.

    Raises:
        OptionError: when there is no such kind, or the count is none.
        EvalError: when the files have no such place.

    """
    if not kinds or set(kinds) - KINDS.keys():
        raise OptionError(
            f"kinds {','.join(kinds) or 'none'}; expected some of: {', '.join(KINDS)}"
        )
    if count < len(kinds):
        raise OptionError(f"holes {count}; expected at least one of each kind: {len(kinds)}")
    holes: list[Hole] = []
    for place, kind in enumerate(kinds):
        share = count // len(kinds) + (place < count % len(kinds))
        holes += _cut_kind(files, kind, share, Random(f"{seed}/{kind}"))
    if not holes:
        raise EvalError("the files have no place for a hole of these kinds; name others by --kinds")
    return tuple(holes)


def _cut_kind(files: Sequence[Source], kind: str, count: int, random: Random) -> list[Hole]:
    order = random.sample(files, len(files))
    holes: dict[str, Hole] = {}
    for attempt in range(ATTEMPTS * count):
        if len(holes) == count:
            break
        file = order[attempt % len(order)]
        place = KINDS[kind](file.text, random)
        if place is not None and (hole := _hole(file, kind, *place)) is not None:
            holes[hole.name] = hole
    return list(holes.values())


def _hole(file: Source, kind: str, start: int, end: int) -> Hole | None:
    """Return the hole, unless it says nothing, is too long or lacks text on a side."""
    prefix, middle, suffix = file.text[:start], file.text[start:end], file.text[end:]
    telling = _LETTERS.search(middle) and prefix.strip() and suffix.strip()
    if not telling or len(middle) > LONGEST_CHARACTERS[kind]:
        return None
    return Hole(
        f"{file.name}:{kind}:{start}+{end - start}", kind, file.name, prefix, middle, suffix
    )


def _line_at(text: str, place: int) -> Place:
    """Return the line that holds `place`, without its line end."""
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return start, len(text) if end < 0 else end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _trimmed(text: str, start: int, end: int) -> Place | None:
    """Return the place without blanks at either end; None when nothing else is there."""
    part = text[start:end]
    if not part.strip():
        return None
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
