"""Writing a folder beside its target and renaming it when it is whole.

Nothing half-written ever carries the target's name, and an old folder is given up only for a
finished new one.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..runtime.errors import ExportError

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_writable(target: Path) -> None:
    """Make the target's parent folder and see that it can be written, before long work.

    Raises:
        ExportError: when it cannot.

    """
    parent = target.absolute().parent
    with explained(target):
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=parent):
            pass


def check_space(target: Path, needed_bytes: int) -> None:
    """See that the target's disk has room.

    Raises:
        ExportError: when it has not.

    """
    parent = target.absolute().parent
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise ExportError(
            f"no space left: {target} needs about {needed_bytes / 1e6:.0f} MB and {parent} has "
            f"{free / 1e6:.0f} MB free; free some or choose another folder"
        )


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Yield a fresh folder beside `target`, and put it in the target's place at the end.

    When anything goes wrong on the way, Ctrl-C included, the folder is removed.

    Raises:
        ExportError: when the disk is full or the folder cannot be written.

    """
    absolute = target.absolute()
    stem = f".{absolute.name}.partial-"
    work = absolute.with_name(f"{stem}{os.getpid()}")
    with explained(target):
        _remove_stale(absolute.parent, stem)
        try:
            work.mkdir()
            yield work
            _publish(work, absolute)
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn what the system refuses into one line about `target`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise ExportError(
                f"no space left on the disk of {target.absolute().parent}; nothing was kept; "
                "free some space or choose another folder"
            ) from error
        reason = error.strerror or error
        raise ExportError(f"{target} cannot be written: {reason}; choose another") from error


def _remove_stale(parent: Path, stem: str) -> None:
    """Remove what exports that were killed have left; those still running keep theirs."""
    if os.name != "posix":  # elsewhere there is no harmless way to ask for a process
        return
    for left in parent.glob(f"{stem}*"):
        number = left.name.removeprefix(stem)
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _publish(work: Path, target: Path) -> None:
    """Put the finished folder in place; the old one comes back when that fails."""
    if target.exists() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        work.rename(target)
        return
    old = work.with_name(f"{work.name}.old")
    target.rename(old)
    try:
        work.rename(target)
    except BaseException:
        with suppress(OSError):
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
