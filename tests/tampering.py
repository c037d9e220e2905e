"""Bundles that somebody has had a hand in, made at random."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from refact_edge.runtime.trust.envelope import read_envelope
from refact_edge.runtime.trust.statement import SIGNATURE


@contextmanager
def tampered(folder: Path, random: Random) -> Iterator[str]:
    """Change something in a signed bundle, yield what it was, and put it back."""
    saved: dict[Path, bytes] = {}
    made: list[Path] = []
    kind = random.choice(KINDS)
    try:
        yield kind(folder, random, saved, made)
    finally:
        for path in made:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for file, content in saved.items():
            file.write_bytes(content)


Saved = dict[Path, bytes]
Made = list[Path]


def _any_file(folder: Path, random: Random) -> Path:
    return random.choice(sorted(file for file in folder.rglob("*") if file.is_file()))


def _byte(folder: Path, random: Random, saved: Saved, _made: Made) -> str:
    """Flip a bit, of the signature too; there, one that says something."""
    file = _any_file(folder, random)
    before = file.read_bytes()
    while True:
        content, at, bit = bytearray(before), random.randrange(len(before)), random.randrange(8)
        content[at] ^= 1 << bit
        if file.name != SIGNATURE or not _says_the_same(before, bytes(content)):
            break
    saved[file] = before
    file.write_bytes(content)
    return f"bit {bit} of byte {at} of {file.name} flipped"


def _says_the_same(before: bytes, after: bytes) -> bool:
    """Whether blanks or names that nobody reads have changed in a signature."""
    try:
        return read_envelope(before.decode()) == read_envelope(after.decode())
    except ValueError:
        return False


def _end(folder: Path, random: Random, saved: Saved, _made: Made) -> str:
    file = _any_file(folder, random)
    saved[file] = before = file.read_bytes()
    if random.random() < 0.5:
        file.write_bytes(before[: random.randrange(len(before) - 1)])
        return f"{file.name} cut off"
    grown = b"\0" if file.name == SIGNATURE else b" "  # blanks behind JSON are no change of it
    file.write_bytes(before + grown)
    return f"{file.name} grown"


def _gone(folder: Path, random: Random, saved: Saved, _made: Made) -> str:
    file = _any_file(folder, random)
    saved[file] = file.read_bytes()
    file.unlink()
    return f"{file.name} gone"


def _renamed(folder: Path, random: Random, saved: Saved, made: Made) -> str:
    file = _any_file(folder, random)
    saved[file] = file.read_bytes()
    other = file.with_name(f"{file.name}{random.choice(['~', '.bak', ' ', 'x'])}")
    file.rename(other)
    made.append(other)
    return f"{file.name} renamed"


def _swapped(folder: Path, random: Random, saved: Saved, _made: Made) -> str:
    while True:
        one, two = _any_file(folder, random), _any_file(folder, random)
        if one.read_bytes() != two.read_bytes():
            break
    saved |= {one: one.read_bytes(), two: two.read_bytes()}
    one.write_bytes(saved[two])
    two.write_bytes(saved[one])
    return f"{one.name} and {two.name} swapped"


def _added(folder: Path, random: Random, _saved: Saved, made: Made) -> str:
    where = random.choice([folder, folder / "onnx", folder / "more"])
    if not where.exists():
        where.mkdir()
        made.append(where)
    file = where / random.choice(["model.sig.py", "engine_q8.onnx", "README", "réfact.json"])
    file.write_bytes(random.randbytes(random.randrange(100)))
    if where not in made:
        made.append(file)
    return f"{file.name} added"


KINDS: tuple[Callable[[Path, Random, Saved, Made], str], ...] = (
    _byte, _byte, _byte, _end, _gone, _renamed, _swapped, _added,
)  # fmt: skip
