"""A local copy of a variant, laid out as this machine's kernels want it, so that it opens at once.

Opening a bundle lays its weights out anew each time, in memory of its own; the copy is mapped
from disk and shared between processes. It is good for one CPU and one onnxruntime, so it never
travels: it lies in the user's cache folder, made only when asked for, and twice as large as the
weights. A copy that does not fit bundle, CPU or onnxruntime is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import warnings
from pathlib import Path
from typing import Any

from .bundle import Bundle, Variant, engine_graph, file_sha256, verify_variant, weights_file
from .cpu import cpu_name_and_features
from .errors import BundleError, RefactEdgeWarning
from .session import PREPACKED_WEIGHTS, Session, SessionOptions, import_onnxruntime

ENVIRONMENT = "REFACT_EDGE_CACHE"  # names another folder
GRAPH, RECORD = "engine.onnx", "record.json"
_FORMAT = 1


def cache_folder() -> Path:
    """Return where copies lie: the user's cache folder, as this system has it."""
    if given := os.environ.get(ENVIRONMENT):
        return Path(given)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "refact-edge"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "refact-edge"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "refact-edge"


def find(bundle: Bundle, variant: str) -> Path | None:
    """Return the graph of a variant's copy; None where there is none, or it is not whole."""
    folder = _folder(bundle, variant)
    if _is_whole(bundle, variant, folder):
        return folder / GRAPH
    if folder.exists():
        warnings.warn(
            f"{folder} is not whole and is not used; make it anew with: refact-edge warm "
            f"{bundle.path} --variant {variant}",
            RefactEdgeWarning,
            stacklevel=2,
        )
    return None


def make(bundle: Bundle, variant: str) -> Path:
    """Make a variant's copy and return its folder; one that is there already stays.

    Copies of the same bundle and variant for another CPU or onnxruntime are removed.

    Raises:
        BundleError: when the bundle is damaged, or the copy cannot be written.

    """
    found = bundle.require_variant(variant)
    folder = _folder(bundle, variant)
    if _is_whole(bundle, variant, folder):
        return folder
    verify_variant(bundle, variant)
    draft = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        _check_space(folder, found)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        _write(bundle, found, draft)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            draft.rename(folder)
        except OSError:
            if not _is_whole(bundle, variant, folder):  # else another process was first
                raise
    except OSError as error:
        raise BundleError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_stale(folder)
    return folder


def clear() -> int:
    """Remove all copies; return how many bytes they took."""
    folder, freed = cache_folder(), 0
    for record in folder.glob(f"*/{RECORD}"):
        freed += sum(file.stat().st_size for file in record.parent.iterdir())
        shutil.rmtree(record.parent)
    for left in folder.glob(".*.partial-*"):
        shutil.rmtree(left)
    return freed


def _is_whole(bundle: Bundle, variant: str, folder: Path) -> bool:
    try:
        record = json.loads((folder / RECORD).read_text())
        return is_private(folder) and record == _expected(bundle, variant) | _found(folder)
    except (OSError, ValueError):
        return False


def _check_space(folder: Path, variant: Variant) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder.parent).free, 2 * variant.bytes
    if free < needed:
        raise BundleError(
            f"{folder.parent} has {free / 1e6:.0f} MB free and the copy takes about "
            f"{needed / 1e6:.0f}; make room, or name another folder in {ENVIRONMENT}"
        )


def _write(bundle: Bundle, variant: Variant, draft: Path) -> None:
    options = SessionOptions("cpu", saved_as=draft / GRAPH)
    Session(bundle.path / engine_graph(variant.name), bundle.sizes, variant.kv_type, options)
    record = _expected(bundle, variant.name) | _found(draft)
    (draft / RECORD).write_text(json.dumps(record))


def _folder(bundle: Bundle, variant: str) -> Path:
    expected = json.dumps(_expected(bundle, variant), sort_keys=True).encode()
    key = hashlib.sha256(expected).hexdigest()[:16]
    return cache_folder() / f"{_source(bundle, variant)[:16]}-{variant}-{key}"


def _source(bundle: Bundle, variant: str) -> str:
    files = bundle.files
    names = (engine_graph(variant), weights_file(variant))
    return hashlib.sha256("".join(files[n]["sha256"] for n in names).encode()).hexdigest()


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


def _found(folder: Path) -> dict[str, Any]:
    """Return what is recorded of the files: hashing the large one would take as long as opening."""
    return {
        "graph": file_sha256(folder / GRAPH),
        "weights_bytes": (folder / PREPACKED_WEIGHTS).stat().st_size,
    }


def is_private(folder: Path) -> bool:
    """Whether nobody else can have put something into the folder."""
    if not hasattr(os, "getuid"):
        return True
    state = folder.stat()
    return state.st_uid == os.getuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _remove_stale(kept: Path) -> None:
    same = kept.name.rsplit("-", 1)[0]
    for other in kept.parent.glob(f"{same}-*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
