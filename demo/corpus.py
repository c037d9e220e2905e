"""The training text: the Python standard library of the running interpreter.

Knows nothing of tokens. A source is one file; its name is 'std/' plus the POSIX path below the
library's root, which is also what decides whether it is held out.
"""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "pydoc_data"}
SHORTEST_CHARACTERS = 200
HELD_OUT_ONE_IN = 20
# A line this long is rarely written twice by chance; shorter ones (`return self`) are.
LONG_LINE_CHARACTERS = 30
LARGEST_SHARED_PART = 0.25


@dataclass(frozen=True)
class Source:
    """One file: its name and its text."""

    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """What is trained on, what is only measured, and how many files were dropped as copies."""

    training: tuple[Source, ...]
    held_out: tuple[Source, ...]
    dropped: int


def is_held_out(name: str) -> bool:
    """Return whether the file is only measured: one in twenty, by the MD5 of its name."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % HELD_OUT_ONE_IN == 0


def read_sources(root: Path) -> list[Source]:
    """Return the library's files in the order of their names, tests and tiny files left out."""
    sources = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED_FOLDERS.intersection(relative.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # lib2to3 keeps a few files in other encodings on purpose
            continue
        if len(text) >= SHORTEST_CHARACTERS:
            sources.append(Source(f"std/{relative.as_posix()}", text))
    return sources


def long_lines(text: str) -> set[str]:
    """Return the stripped lines that are long enough to betray a copy."""
    stripped = (line.strip() for line in text.splitlines())
    return {line for line in stripped if len(line) >= LONG_LINE_CHARACTERS}


def is_copy(text: str, known: set[str]) -> bool:
    """Return whether over a quarter of the text's long lines are among `known`."""
    lines = long_lines(text)
    return len(lines & known) > LARGEST_SHARED_PART * len(lines)


def read_corpus(root: Path | None = None) -> Corpus:
    """Split the standard library (or the tree at `root`) into training and held-out files.

    A training file is dropped when its text was seen before, or when it shares too many long lines
    with the held-out ones: the encodings tables, for one, are near copies of each other.
    """
    sources = read_sources(root or Path(sysconfig.get_path("stdlib")))
    held_out = tuple(source for source in sources if is_held_out(source.name))
    known = set().union(*(long_lines(source.text) for source in held_out))
    seen = {source.text for source in held_out}
    training = []
    for source in sources:
        if source.text in seen or is_copy(source.text, known):
            continue
        seen.add(source.text)
        training.append(source)
    dropped = len(sources) - len(held_out) - len(training)
    return Corpus(tuple(training), held_out, dropped)
