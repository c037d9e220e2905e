"""Where a hole for fill-in-the-middle is cut into a text.

Pure functions over characters: `cut(text, random)` returns [start, end), or None when the place
that was drawn has no hole of the kind that was drawn. Most holes are short, as they are in an
editor.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

LONGEST_CHARACTERS = 400
LONGEST_LINES = 8
# Shares of the places where whole lines begin: after the indent, at the line's start, else above.
INDENT_TYPED, LINE_BEGUN = 0.7, 0.85

Hole = tuple[int, int]
WORDS = re.compile(r"\w+|[^\w\s]|\s+")


def line_around(text: str, place: int) -> Hole:
    """Return [start, end) of the line that holds `place`, its newline left out."""
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return start, len(text) if end < 0 else end


def indent_of(line: str) -> int:
    """Return how many blanks the line starts with."""
    return len(line) - len(line.lstrip())


def code_start(text: str, start: int, end: int) -> int:
    """Return the place of the first character of the line that is not blank."""
    return start + indent_of(text[start:end])


def borders(text: str, start: int, end: int) -> list[int]:
    """Return the word borders of one line: before and after each word, sign and run of blanks."""
    return [start + match.start() for match in WORDS.finditer(text[start:end])] + [end]


def rest_of_line(text: str, place: int, random: Random) -> Hole | None:
    """Cut from somewhere in a line, mostly a word border, to its end."""
    start, end = line_around(text, place)
    first = code_start(text, start, end)
    if end - first < 2:
        return None
    if random.random() < 0.3:
        return random.randrange(first, end), end
    return random.choice(borders(text, first, end)[:-1]), end


def part_of_line(text: str, place: int, random: Random) -> Hole | None:
    """Cut one to six words within a line."""
    start, end = line_around(text, place)
    marks = borders(text, code_start(text, start, end), end)
    if len(marks) < 4:
        return None
    first = random.randrange(len(marks) - 2)
    last = min(first + random.randint(1, 6), len(marks) - 2)
    return (marks[first], marks[last]) if first < last else None


def characters(text: str, place: int, random: Random) -> Hole | None:
    """Cut a few characters from anywhere, across lines and within words."""
    end = min(len(text), place + 1 + min(LONGEST_CHARACTERS, int(random.expovariate(1 / 40))))
    return (place, end) if text[place:end].strip() else None


def whole_lines(text: str, place: int, random: Random) -> Hole | None:
    """Cut one to five lines, ending at a line's end.

    Mostly the indent of the first is typed already; else the cursor is at the line's very start, or
    still at the end of the line above.
    """
    start, end = line_around(text, place)
    first = code_start(text, start, end)
    where = random.random()
    if where > INDENT_TYPED:
        first = start if where < LINE_BEGUN else max(0, start - 1)
    for _ in range(min(4, int(random.expovariate(0.6)))):
        end = line_around(text, min(end + 1, len(text)))[1]
    return (first, end) if text[first:end].strip() else None


def block(text: str, place: int, random: Random) -> Hole | None:
    """Cut the indented lines below a line that ends with a colon."""
    del random  # the block's end is given by its indent
    opening = text.find(":\n", place)
    if opening < 0:
        return None
    start, end = line_around(text, opening)
    outer = indent_of(text[start:end])
    first, last = end + 1, end
    for _ in range(LONGEST_LINES + 1):
        start, end = line_around(text, min(last + 1, len(text)))
        if end <= last or (text[start:end].strip() and indent_of(text[start:end]) <= outer):
            body = text[first:last].rstrip()
            inner = code_start(text, first, first + len(body))
            return (inner, first + len(body)) if body.strip() else None
        last = end
    return None


Kind = Callable[[str, int, Random], Hole | None]
KINDS: tuple[tuple[Kind, float], ...] = (
    (rest_of_line, 0.35),
    (part_of_line, 0.11),
    (characters, 0.12),
    (whole_lines, 0.22),
    (block, 0.20),
)


def line_aligned(text: str, place: int, random: Random) -> Hole | None:
    """Cut one to five whole lines after the indent of the first; for measuring."""
    hole = whole_lines(text, place, random)
    if hole is None:
        return None
    start, end = line_around(text, hole[0])
    if text[hole[0] : end].strip():
        return max(hole[0], code_start(text, start, end)), hole[1]
    return None


def one_line(text: str, place: int, random: Random) -> Hole | None:
    """Cut one whole line after its indent; for measuring."""
    del random
    start, end = line_around(text, place)
    first = code_start(text, start, end)
    return (first, end) if text[first:end].strip() else None


def cut(text: str, random: Random, kind: Kind | None = None) -> Hole | None:
    """Draw a kind, unless given, and a place; return the hole or None.

    A hole is never empty and has at most `LONGEST_CHARACTERS`.
    """
    if kind is None:
        kind = random.choices([kind for kind, _ in KINDS], [share for _, share in KINDS])[0]
    hole = kind(text, random.randrange(len(text)), random)
    if hole is None or not 0 < hole[1] - hole[0] <= LONGEST_CHARACTERS:
        return None
    return hole
