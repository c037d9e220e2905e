"""The texts: which files are read, trained on, watched and held out; copies are dropped.

Knows nothing of tokens. The library's files are named 'std/' plus the POSIX path below its root,
those of a package by the path below the folder the packages were installed to. The name alone
decides whether a file is held out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from refact_edge.runtime.files.atomic_write import atomic_write

Group = Literal["library", "tests", "packages"]
Split = Literal["training", "validation", "held-out"]

LIBRARY_SKIPS = {"test", "tests", "idle_test", "site-packages", "pydoc_data"}
# Generated tables, vendored copies of other projects, and tests, which repeat themselves.
PACKAGE_SKIPS = {"test", "tests", "testing", "_vendor", "_vendored_packages", "locale", "externals"}
SHORTEST_CHARACTERS = 200
LONGEST_CHARACTERS = 300_000
HELD_OUT_ONE_IN = 20
# Drawn from what is not held out: 1 modulo 60 is never 0 modulo 20.
VALIDATION_ONE_IN, VALIDATION_REST = 60, 1
# A line this long is rarely written twice by chance; shorter ones (`return self`) are.
LONG_LINE_CHARACTERS = 30
LARGEST_PART_SHARED_WITH_HELD_OUT = 0.25
LARGEST_PART_SEEN_BEFORE = 0.6
# Generated code and tables have few letters, or lines that nobody wrote by hand.
SMALLEST_PART_LETTERS = 0.35
LONGEST_LINE = 1000


@dataclass(frozen=True)
class Source:
    """One file: its name, its text, where it comes from and what it is for."""

    name: str
    text: str
    group: Group
    split: Split


@dataclass(frozen=True)
class Corpus:
    """All files that are used, and how many were dropped as copies or tables."""

    sources: tuple[Source, ...]
    dropped: int

    def of(self, split: Split) -> list[Source]:
        """Return the files of one split."""
        return [source for source in self.sources if source.split == split]


def split_of(name: str, group: Group) -> Split:
    """Return what a file is for, by the MD5 of its name: one in twenty of the library is held out.

    One in sixty of the library is watched while training and otherwise left out too.
    """
    number = int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(), 16)
    if group != "library":
        return "training"
    if number % HELD_OUT_ONE_IN == 0:
        return "held-out"
    return "validation" if number % VALIDATION_ONE_IN == VALIDATION_REST else "training"


def read_texts(root: Path, skips: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (POSIX path, text) of the Python files below `root`, in the order of their paths."""
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if skips.intersection(relative.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a few files keep other encodings on purpose
            continue
        if SHORTEST_CHARACTERS <= len(text) <= LONGEST_CHARACTERS:
            yield relative.as_posix(), text


def read_library(root: Path) -> list[Source]:
    """Return the standard library's files, then those of its test suite."""
    files = [(f"std/{name}", text) for name, text in read_texts(root, LIBRARY_SKIPS)]
    library = [Source(name, text, "library", split_of(name, "library")) for name, text in files]
    tests = read_texts(root / "test", set())
    return library + [
        Source(f"std/test/{name}", text, "tests", "training")
        for name, text in tests
        if not is_table(text)
    ]


def read_packages(root: Path) -> list[Source]:
    """Return the files of the packages installed below `root`."""
    return [
        Source(name, text, "packages", "training")
        for name, text in read_texts(root, PACKAGE_SKIPS)
        if not is_table(text)
    ]


def is_table(text: str) -> bool:
    """Return whether the text is mostly data: few letters, or lines of a thousand characters."""
    letters = sum(map(str.isalpha, text))
    return letters < SMALLEST_PART_LETTERS * len(text) or max(map(len, text.split("\n"))) > (
        LONGEST_LINE
    )


def long_lines(text: str) -> set[str]:
    """Return the stripped lines that are long enough to betray a copy."""
    stripped = (line.strip() for line in text.splitlines())
    return {line for line in stripped if len(line) >= LONG_LINE_CHARACTERS}


def is_copy(text: str, watched_lines: set[str], largest_part: float) -> bool:
    """Return whether more than that part of the text's long lines is among `known`."""
    lines = long_lines(text)
    return len(lines & watched_lines) > largest_part * len(lines)


def without_copies(sources: Iterable[Source]) -> Corpus:
    """Drop what was read before, and what is too close to a file that is not trained on.

    The encodings tables, for one, are near copies of each other.
    """
    sources = list(sources)
    watched = [source for source in sources if source.split != "training"]
    watched_lines = set().union(*(long_lines(source.text) for source in watched))
    texts, seen, accepted = {source.text for source in watched}, set(watched_lines), list(watched)
    for source in sources:
        if source.split != "training" or source.text in texts:
            continue
        if is_copy(source.text, watched_lines, LARGEST_PART_SHARED_WITH_HELD_OUT):
            continue
        if is_copy(source.text, seen, LARGEST_PART_SEEN_BEFORE):
            continue
        texts.add(source.text)
        seen |= long_lines(source.text)
        accepted.append(source)
    return Corpus(tuple(accepted), len(sources) - len(accepted))


def save_corpus(corpus: Corpus, file: Path) -> None:
    """Write one JSON line a file, the number of dropped ones first."""
    lines = [json.dumps({"dropped": corpus.dropped})]
    lines += [json.dumps(asdict(source)) for source in corpus.sources]
    with atomic_write(file) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_corpus(file: Path) -> Corpus:
    """Read what `save_corpus` wrote."""
    with file.open(encoding="utf-8") as lines:
        dropped = json.loads(next(lines))["dropped"]
        return Corpus(tuple(Source(**json.loads(line)) for line in lines), dropped)
