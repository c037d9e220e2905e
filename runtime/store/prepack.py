"""A local copy of a variant, laid out as this machine's kernels want it, so that it opens at once.

Opening a bundle lays its weights out anew each time, in memory of its own; the copy is mapped
from disk and shared between processes. It is good for one CPU and one onnxruntime, so it never
travels: it lies in the user's cache folder, made only when asked for, and twice as large as the
weights. A copy that does not fit bundle, CPU or onnxruntime is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import warnings
from pathlib import Path
from typing import Any

from ..backends.native.session import VARIANTS as NATIVE_VARIANTS
from ..backends.onnxruntime import (
    PREPACKED_WEIGHTS,
    OnnxruntimeSession,
    SessionOptions,
    import_onnxruntime,
)
from ..bundle.contract import Bundle
from ..bundle.identity import running_hashes
from ..bundle.verified import Verified, VerifiedGraph, verify, verify_copy
from ..errors import BundleError, RefactEdgeWarning
from ..files.ownership import why_not_private
from ..files.state import as_json, current, from_json, hash_note
from ..machine.cpu import cpu_name_and_features
from ..machine.shell import quoted
from .folder import ENVIRONMENT, cache_folder, has_entry, read_record, renew_record, write_entry

GRAPH = "engine.onnx"
_FILES = (GRAPH, PREPACKED_WEIGHTS)
_FORMAT = 2
_log = logging.getLogger(__name__)


def find(bundle: Bundle, variant: str, *, hashes: bool = True) -> VerifiedGraph | None:
    """Return a variant's copy, ready to be opened; None where there is none, or it is not whole.

    Without `hashes` what is read of the bundle beside it is not hashed.

    Raises:
        BundleError: when that is altered, or the manifest lacks the hashes of the variant's files.

    """
    folder = copy_folder(bundle, variant)
    if not has_entry(folder):
        return None
    if reason := why_not_whole(bundle, variant):
        warnings.warn(
            f"{folder} is not used: {reason}; {remedy(bundle, variant)}",
            RefactEdgeWarning,
            stacklevel=2,
        )
        return None
    _log.debug("%s: opening the copy in %s", variant, folder)
    return verify_copy(bundle, variant, folder / GRAPH, folder / PREPACKED_WEIGHTS, hashes=hashes)


def make(bundle: Bundle, variant: str) -> Path:
    """Make a variant's copy and return its folder; one that is there already, and whole, stays.

    Copies of the same bundle and variant for another CPU or onnxruntime are removed.

    Raises:
        BundleError: when the bundle is damaged, or the copy cannot be written.

    """
    bundle.require_variant(variant)
    folder = copy_folder(bundle, variant)

    def whole() -> bool:
        return not why_not_whole(bundle, variant, hashes=True)

    if has_entry(folder) and whole():
        return folder
    verified = verify(bundle, variant)
    try:
        _check_space(folder, verified.variant.bytes)
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written: {error.strerror}; name another folder in {ENVIRONMENT}"
        ) from error
    write_entry(folder, lambda draft: _write(verified, draft), whole)
    _remove_stale(folder)
    return folder


def copy_folder(bundle: Bundle, variant: str) -> Path:
    """Return where a variant's copy lies, if it was made."""
    expected = json.dumps(_expected(bundle, variant), sort_keys=True).encode()
    key = hashlib.sha256(expected).hexdigest()[:16]
    return cache_folder() / f"{_source(bundle, variant)[:16]}-{variant}-{key}"


def why_not_whole(bundle: Bundle, variant: str, *, hashes: bool = False) -> str:
    """Say why a copy is not what was made; "" where it is.

    Its files are hashed where their state changed since they last were, or where `hashes`.
    """
    folder = copy_folder(bundle, variant)
    try:
        record = read_record(folder)
        if record.get("expected") != _expected(bundle, variant):
            return "its record is of another make"
        notes = {name: from_json(record["files"].get(name)) for name in _FILES}
        for name, note in notes.items():
            if reason := why_not_private(folder / name, (folder / name).lstat()):
                return f"{name}: {reason}"
            now = current(note, folder / name, hashes=hashes)
            if now is None:
                return f"{name} was altered since it was made"
            notes[name] = now
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except (ValueError, AttributeError) as error:
        return str(error)
    files = {name: as_json(note) for name, note in notes.items()}
    if files != record["files"]:
        renew_record(folder, record | {"files": files})
    return ""


def remedy(bundle: Bundle, variant: str) -> str:
    """Say how a copy is made anew."""
    engine = " --engine onnxruntime" if variant in NATIVE_VARIANTS else ""  # else it is only noted
    path = quoted(str(bundle.path))
    return f"make it anew with: refact-edge warm {path} --variant {variant}{engine}"


def _check_space(folder: Path, weights_bytes: int) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder.parent).free, 2 * weights_bytes
    if free < needed:
        raise BundleError(
            f"{folder.parent} has {free / 1e6:.0f} MB free and the copy takes about "
            f"{needed / 1e6:.0f}; make room, or name another folder in {ENVIRONMENT}"
        )


def _write(verified: Verified, draft: Path) -> dict[str, Any]:
    OnnxruntimeSession(verified, SessionOptions(saved_as=draft / GRAPH)).close()
    for name in _FILES:
        (draft / name).chmod(0o600)
    files = {name: as_json(hash_note(draft / name)) for name in _FILES}
    return {"expected": _expected(verified.bundle, verified.variant.name), "files": files}


def _source(bundle: Bundle, variant: str) -> str:
    return hashlib.sha256("".join(running_hashes(bundle, [variant])).encode()).hexdigest()


def _expected(bundle: Bundle, variant: str) -> dict[str, Any]:
    """Return what a copy is good for."""
    name, features = cpu_name_and_features()
    return {
        "format": _FORMAT,
        "source": _source(bundle, variant),
        "onnxruntime": import_onnxruntime().__version__,
        "machine": platform.machine(),
        "cpu": [name, *features],
    }


def _remove_stale(current_copy: Path) -> None:
    same = current_copy.name.rsplit("-", 1)[0]
    for other in current_copy.parent.glob(f"{same}-*"):
        if other != current_copy:
            shutil.rmtree(other, ignore_errors=True)
