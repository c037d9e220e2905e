"""Notes that a bundle's large file was hashed, so that opening it again need not read all of it.

A note holds for the file at one place, while its state is the same (see `files/state.py`); a link
is such a place, wherever it leads. Only the command `warm` makes one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ..bundle.contract import Bundle, weights_file
from ..bundle.identity import manifest_hash
from ..bundle.verified import verify
from ..errors import BundleError
from ..files.state import HashNote, as_json, current, from_json, settled_state_of
from .folder import RECORD, cache_folder, read_record, renew_record, write_entry

_FORMAT = 2


def note(bundle: Bundle, variant: str) -> Path:
    """Hash the files that running a variant reads, and write a note of the weights' hash.

    Returns the note's file.

    Raises:
        BundleError: when the bundle is damaged, or nothing can be written.

    """
    weights = bundle.path / weights_file(variant)
    try:
        state = settled_state_of(weights)  # before the hashing, for what is written meanwhile
    except OSError as error:
        raise BundleError(f"{weights} cannot be read: {error.strerror}") from error
    verify(bundle, variant)
    record = _record(weights, HashNote(manifest_hash(bundle, weights_file(variant)), state))
    entry = _entry(weights)
    write_entry(entry, lambda _: record, lambda: is_noted(bundle, variant))
    return entry / RECORD


def is_noted(bundle: Bundle, variant: str) -> bool:
    """Whether the weights were hashed and are the same still.

    Where there is a note for another state of the file, it is hashed, and noted again.
    """
    weights = bundle.path / weights_file(variant)
    entry = _entry(weights)
    try:
        record = read_record(entry)
        before = from_json(record.get("note"))
        if record != _record(weights, before):
            return False
        now = current(before, weights)
    except (OSError, ValueError):  # there is none, or none that can be relied on
        return False
    if now is None or now.sha256 != manifest_hash(bundle, weights_file(variant)):
        return False
    if now != before:
        renew_record(entry, _record(weights, now))
    return True


def _record(weights: Path, note: HashNote) -> dict[str, Any]:
    return {"format": _FORMAT, "file": str(_place(weights)), "note": as_json(note)}


def _entry(weights: Path) -> Path:
    place = hashlib.sha256(os.fsencode(_place(weights))).hexdigest()
    return cache_folder() / f"checked-{place[:16]}"


def _place(weights: Path) -> Path:
    """Return where a file, or a link, itself lies: links of two bundles may lead to one file."""
    return weights.parent.resolve() / weights.name
