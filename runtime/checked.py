"""Notes that a bundle's large file was hashed, so that opening it again need not read all of it.

A note holds for one file as it lay there: its place, size, inode and times. Whoever writes into the
file changes one of these, and it is hashed again; a disk that forgets is not noticed. Made only
when asked for (the command `warm`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from .bundle import Bundle, verify_variant, weights_file
from .errors import BundleError
from .prepack import ENVIRONMENT, RECORD, cache_folder, is_private

_FORMAT = 1


def note(bundle: Bundle, variant: str) -> Path:
    """Hash all that running a variant reads, and note that its weights were; return the note.

    Raises:
        BundleError: when the bundle is damaged, or nothing can be written.

    """
    before = _state(bundle, variant)
    verify_variant(bundle, variant)
    folder = _folder(bundle, variant)
    draft = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        draft.mkdir(mode=0o700, parents=True, exist_ok=True)
        (draft / RECORD).write_text(json.dumps(before))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            draft.rename(folder)
        except OSError:
            if not is_noted(bundle, variant):  # else another process was first
                raise
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written: {error.strerror}; name another folder in {ENVIRONMENT}"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder / RECORD


def is_noted(bundle: Bundle, variant: str) -> bool:
    """Whether the weights were hashed and have not changed since."""
    folder = _folder(bundle, variant)
    try:
        if not is_private(folder):
            return False
        return bool(json.loads((folder / RECORD).read_text()) == _state(bundle, variant))
    except (OSError, ValueError):
        return False


def _state(bundle: Bundle, variant: str) -> dict[str, Any]:
    file = bundle.path / weights_file(variant)
    try:
        state = file.stat()
    except OSError:
        return {"missing": str(file)}  # which verifying says
    times = [state.st_mtime_ns, state.st_ctime_ns]
    return {
        "format": _FORMAT,
        "sha256": bundle.files.get(weights_file(variant), {}).get("sha256"),
        "file": str(file.resolve()),
        "state": [state.st_dev, state.st_ino, state.st_size, *times],
    }


def _folder(bundle: Bundle, variant: str) -> Path:
    place = str((bundle.path / weights_file(variant)).resolve())
    return cache_folder() / f"checked-{hashlib.sha256(place.encode()).hexdigest()[:16]}"
