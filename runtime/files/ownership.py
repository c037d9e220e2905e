"""Whether what lies in a folder can only have come from this user.

Rows and weights that somebody else put there would be computed with as if they were ours. Others
may read a folder, as its files have their own permissions, but not write to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from .windows_owner import is_owned

# A pipe by the name of a file would let its reader wait for ever.
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK")


def why_not_private(path: Path, state: os.stat_result) -> str:
    """Say why somebody else may have written to a file or folder; "" where nobody can.

    A link leads to what others may write. `state` is what `stat` says of the path. Windows has no
    such permissions: what lies in the user's own folder is private there, and elsewhere what the
    user owns is taken for it.
    """
    if stat.S_ISLNK(state.st_mode):
        return "it is a link"
    if sys.platform == "win32":
        return "" if _lies_at_home(path) or is_owned(path) else "it belongs to another user"
    if state.st_uid != os.getuid():
        return f"it belongs to user {state.st_uid}, and you are user {os.getuid()}"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(state.st_mode):o})"
    return ""


def open_private(file: Path) -> BinaryIO:
    """Open a plain file that only this user can have written.

    Raises:
        PermissionError: when it is a link, no plain file, somebody else's, or others may write to
            it; its `strerror` says which.
        OSError: when it cannot be opened.

    """
    if stat.S_ISLNK(file.lstat().st_mode):  # which opening it would call too many levels of links
        raise PermissionError(errno.EPERM, "it is a link", str(file))
    with contextlib.ExitStack() as opened:
        stream = opened.enter_context(open(file, "rb", opener=_open_plainly))
        state = os.fstat(stream.fileno())
        plain = stat.S_ISREG(state.st_mode)
        reason = why_not_private(file, state) if plain else "it is no plain file"
        if reason:
            raise PermissionError(errno.EPERM, reason, str(file))
        opened.pop_all()
    return stream


def _lies_at_home(path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(Path.home().resolve())
    except RuntimeError:  # a user without a home
        return False


def _open_plainly(path: str, flags: int) -> int:
    for name in _FLAGS:  # each system has some of them
        flags |= getattr(os, name, 0)
    return os.open(path, flags)
