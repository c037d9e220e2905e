"""A bundle's manifest as a file: one JSON object, and what single values in it may be."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from ..errors import BundleError, one_line
from ..files.atomic_write import recover
from ..files.plain import MISSING, why_not_plain

MANIFEST = "refact_edge.json"
LIMIT_BYTES = 16 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest of the bundle in a folder, whatever it holds, and its file's sha256.

    Raises:
        BundleError: when there is none, or it is no JSON object.

    """
    file = path / MANIFEST
    if "\0" in str(path):
        raise BundleError(f"{one_line(path)} is no path; expected the folder of a bundle")
    try:
        return _load(path, file)
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error


def _load(path: Path, file: Path) -> tuple[dict[str, Any], str]:
    if not path.exists():
        # An export that was killed may have moved it aside, or what a link leads to.
        recover(Path(os.path.realpath(path)))
    if not path.exists():
        reason = why_not_plain(path)
        state = "does not exist" if reason == MISSING else reason
        raise BundleError(f"{path} {state}; expected the folder of a bundle")
    if path.is_file():
        raise BundleError(f"{path} is a file; expected the folder of a bundle")
    reason = why_not_plain(file)
    if reason == MISSING:
        raise BundleError(
            f"{path} has no {MANIFEST}, so it is not a bundle; "
            f"make one with: refact-edge export CHECKPOINT {path}"
        )
    if reason:
        raise BundleError(f"{file} {reason}")
    if file.stat().st_size > LIMIT_BYTES:
        raise BundleError(f"{file} is over {LIMIT_BYTES} bytes; export the model again")
    content = file.read_bytes()
    try:
        manifest = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file} is not valid JSON ({error}); export the model again") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{file} is not a JSON object; export the model again")
    return manifest, hashlib.sha256(content).hexdigest()


def is_printable(value: object) -> bool:
    """Whether it is a text that a terminal shows as it is."""
    return isinstance(value, str) and value.isprintable()


def is_name(value: object) -> bool:
    """Whether a model may be called so: words and at most one slash, which fit any interface."""
    return isinstance(value, str) and len(value) <= 96 and _NAME.fullmatch(value) is not None


def is_count(value: object) -> bool:
    """Whether it is a number of bytes."""
    return type(value) is int and 0 <= value < 2**63  # bool is a kind of int


def is_sha256(value: object) -> bool:
    """Whether it is a sha256 in hexadecimal."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
