"""Writing a folder beside its target and renaming it when it is whole.

Nothing half-written ever carries the target's name, and an old folder is given up only for a
finished new one.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..runtime.errors import ExportError
from ..runtime.files.atomic_write import aside, claimed, sync, sync_folder
from ..runtime.files.moving import InUseError, rename
from .exchange import exchange

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


def check_space(target: Path, needed_bytes: int, otherwise: str = "") -> None:
    """See that the target's disk has room; `otherwise` is what else a user may do if it has not.

    Raises:
        ExportError: when it has not.

    """
    parent = target.absolute().parent
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise ExportError(
            f"no space left: {target} needs about {needed_bytes / 1e6:.0f} MB and {parent} has "
            f"{free / 1e6:.0f} MB free; free some{otherwise} or choose another folder"
        )


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Yield a fresh folder beside `target`, and put it in the target's place at the end.

    The target is at all times the old folder or the new one, both whole; on systems that cannot
    exchange two names there is a moment without one, which `recover` mends if the process is
    killed in it. When anything goes wrong on the way, Ctrl-C included, the folder is removed.

    Raises:
        ExportError: when the disk is full or the folder cannot be written.

    """
    absolute = target.absolute()
    with explained(target), claimed(absolute) as work:
        work.mkdir()
        yield work
        _publish(work, absolute)


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
        if isinstance(error, InUseError):
            raise ExportError(
                f"{target} cannot be replaced, as another program uses it; end that (a server of "
                "this bundle?) and export again"
            ) from error
        reason = error.strerror or error
        raise ExportError(f"{target} cannot be written: {reason}; choose another") from error


def _publish(work: Path, target: Path) -> None:
    """Put the finished folder in place; what stood there is left beside, to be removed."""
    # A name must not reach the disk before what it stands for.
    sync(work)
    if target.exists() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        rename(work, target)
    elif not exchange(work, target):
        rename(target, aside(work))
        rename(work, target)
    sync_folder(target.parent)
