"""Whether a path leads to a plain file, by itself or by links, and what is there otherwise.

Folders of links are what caches of downloads and stores of large files lay out: those of Hugging
Face, DVC, git-annex and Nix. What a link leads to is judged by its content, as any file is.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ..errors import one_line

MISSING = "is missing"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_LOOP_ON_WINDOWS = 1921


def why_not_plain(file: Path) -> str:
    """Say what a path leads to that is no plain file; "" where it is one. Nothing is opened."""
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _absence(file)
    except OSError as error:
        if error.errno == errno.ELOOP or getattr(error, "winerror", 0) == _LOOP_ON_WINDOWS:
            return "is a link that leads back to itself"
        return f"cannot be read: {error.strerror}"
    except ValueError:  # of a name that no file can have
        return MISSING
    if stat.S_ISREG(mode):
        return ""
    kind = next((name for is_one, name in _KINDS if is_one(mode)), "no plain file")
    return f"is {'a link to ' if file.is_symlink() else ''}{kind}; expected a file"


def _absence(file: Path) -> str:
    try:
        leads_to = os.fspath(file.readlink())
    except OSError:
        return MISSING
    return f"is a link to {one_line(leads_to)}, where nothing is; fetch that"
