"""Folders whose files are links, as caches of downloads and stores of large files lay them out."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

Place = Callable[[int, str], str]  # of a file's number and hash


def as_blobs(_: int, sha256: str) -> str:
    """As in Hugging Face's cache: all files in one folder."""
    return f"blobs/{sha256}"


def in_a_store(number: int, sha256: str) -> str:
    """As of git-annex, DVC and Nix: each file in a folder of its own."""
    return f"store/{number:02}/{sha256}"


def linked(source: Path, folder: Path, place: Place = in_a_store) -> Path:
    """Return a folder of links to copies of the files in `source`."""
    links = folder / "snapshots" / "main"
    for number, file in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        link, target = links / file.relative_to(source), folder / place(number, sha256)
        link.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        link.symlink_to(os.path.relpath(target, link.parent))
    return links


def relink(link: Path, leads_to: str | Path) -> None:
    """Have a link lead elsewhere."""
    link.unlink()
    link.symlink_to(leads_to)
