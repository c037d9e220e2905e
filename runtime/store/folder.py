"""The user's cache folder: what `warm` made to open a bundle sooner, and outcomes of trials.

An entry is a folder with a record. It appears whole or not at all, is for this user alone, and may
be removed at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..files.moving import rename, replace
from ..files.ownership import why_not_private

ENVIRONMENT = "REFACT_EDGE_CACHE"  # names another folder
RECORD = "record.json"
_ENTRY = re.compile(r"(checked|timed|[0-9a-f]{16}-\w+)-[0-9a-f]{16}|\..+-[0-9a-f]{16}\.partial-\d+")


def cache_folder() -> Path:
    """Return where entries lie: the user's cache folder, as this system has it."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    try:
        return _usual_folder()
    except RuntimeError:  # a user without a home, as a container's may be
        # Windows has a folder for temporary files a user.
        user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
        return Path(tempfile.gettempdir()) / f"refact-edge{user}"


def _usual_folder() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "refact-edge"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "refact-edge"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "refact-edge"


def has_entry(entry: Path) -> bool:
    """Whether there is an entry, good or not; none where the cache folder may not be read."""
    try:
        return entry.exists()
    except PermissionError:
        return False


def read_record(entry: Path) -> dict[str, Any]:
    """Return an entry's record.

    Raises:
        ValueError: when it cannot be relied on; says why.

    """
    try:
        if reason := why_not_private(entry, entry.lstat()):
            raise ValueError(reason)
        record = json.loads((entry / RECORD).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{RECORD} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{RECORD} is no JSON") from error
    if not isinstance(record, dict):
        raise ValueError(f"{RECORD} is no JSON object")
    return record


def write_record(entry: Path, record: dict[str, Any]) -> None:
    """Write an entry's record, whole or not at all."""
    draft = entry / f".{RECORD}.partial-{os.getpid()}"
    draft.write_text(json.dumps(record), encoding="utf-8")
    replace(draft, entry / RECORD)


def renew_record(entry: Path, record: dict[str, Any]) -> None:
    """Write a record in place of one that cost hashing, where that can be written."""
    with contextlib.suppress(OSError):  # a cache that others filled may be read-only
        write_record(entry, record)


def write_entry(
    entry: Path, write: Callable[[Path], dict[str, Any]], whole: Callable[[], bool]
) -> None:
    """Put an entry in place of the one that is there, if any.

    Args:
        entry: its folder.
        write: fills a folder that becomes the entry, and returns its record.
        whole: whether the entry is good, when another process put one there meanwhile.

    Raises:
        BundleError: when it cannot be written.

    """
    draft = entry.with_name(f".{entry.name}.partial-{os.getpid()}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        write_record(draft, write(draft))
        shutil.rmtree(entry, ignore_errors=True)
        try:
            rename(draft, entry)
        except OSError:
            if not whole():
                raise
    except OSError as error:
        raise BundleError(
            f"{entry} cannot be written: {error.strerror}; name another folder in {ENVIRONMENT}"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def clear() -> int:
    """Remove all entries and what was left of unfinished ones; return how many bytes they took."""
    freed = 0
    for entry in filter(_is_entry, cache_folder().glob("*")):
        freed += sum(file.stat().st_size for file in entry.iterdir())
        shutil.rmtree(entry)
    return freed


def _is_entry(path: Path) -> bool:
    """Whether a path is one of ours: a user may have named a folder that holds more."""
    return path.is_dir() and bool(_ENTRY.fullmatch(path.name))
