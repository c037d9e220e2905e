"""A local copy of a variant, laid out as this machine's kernels want it, so that it opens at once.

Opening a bundle lays its weights out anew each time, in memory of its own; the copy is mapped
from disk and shared between processes. It is good for one CPU and one onnxruntime, so it never
travels: it lies in the user's cache folder, made only when asked for, and twice as large as the
weights. A copy that does not fit bundle, CPU or onnxruntime is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import warnings
from pathlib import Path
from typing import Any

from ..backends.native.session import VARIANT as NATIVE_VARIANT
from ..backends.onnxruntime import (
    PREPACKED_WEIGHTS,
    Session,
    SessionOptions,
    import_onnxruntime,
    reaching,
)
from ..bundle.contract import Bundle, Variant, engine_graph, verify_variant, weights_file
from ..bundle.identity import running_hashes
from ..errors import BundleError, RefactEdgeWarning
from ..files.ownership import why_not_private
from ..files.state import as_json, current, from_json, hash_note
from ..machine.cpu import cpu_name_and_features
from ..machine.shell import quoted
from .folder import ENVIRONMENT, cache_folder, has_entry, read_record, renew_record, write_entry

GRAPH = "engine.onnx"
_FILES = (GRAPH, PREPACKED_WEIGHTS)
_FORMAT = 2


def find(bundle: Bundle, variant: str) -> Path | None:
    """Return the graph of a variant's copy; None where there is none, or it is not whole.

    Raises:
        BundleError: when the manifest lacks the hashes of the variant's files.

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
    return folder / GRAPH


def make(bundle: Bundle, variant: str) -> Path:
    """Make a variant's copy and return its folder; one that is there already, and whole, stays.

    Copies of the same bundle and variant for another CPU or onnxruntime are removed.

    Raises:
        BundleError: when the bundle is damaged, or the copy cannot be written.

    """
    precision = bundle.require_variant(variant)
    folder = copy_folder(bundle, variant)

    def whole() -> bool:
        return not why_not_whole(bundle, variant, hashes=True)

    if has_entry(folder) and whole():
        return folder
    verify_variant(bundle, variant)
    try:
        _check_space(folder, precision)
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written: {error.strerror}; name another folder in {ENVIRONMENT}"
        ) from error
    write_entry(folder, lambda draft: _write(bundle, precision, draft), whole)
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
    engine = " --engine onnxruntime" if variant == NATIVE_VARIANT else ""  # else it is only noted
    path = quoted(str(bundle.path))
    return f"make it anew with: refact-edge warm {path} --variant {variant}{engine}"


def _check_space(folder: Path, variant: Variant) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder.parent).free, 2 * variant.bytes
    if free < needed:
        raise BundleError(
            f"{folder.parent} has {free / 1e6:.0f} MB free and the copy takes about "
            f"{needed / 1e6:.0f}; make room, or name another folder in {ENVIRONMENT}"
        )


def _write(bundle: Bundle, variant: Variant, draft: Path) -> dict[str, Any]:
    graph, weights = (bundle.path / part(variant.name) for part in (engine_graph, weights_file))
    options = reaching(SessionOptions("cpu", saved_as=draft / GRAPH), graph, weights)
    Session(graph, bundle.sizes, variant.kv_type, options)
    for name in _FILES:
        (draft / name).chmod(0o600)
    files = {name: as_json(hash_note(draft / name)) for name in _FILES}
    return {"expected": _expected(bundle, variant.name), "files": files}


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
