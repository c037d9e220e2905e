"""Writing beside a name and taking the name when all is on the disk.

A writer owns the names `.NAME.partial-TOKEN` and `.NAME.partial-TOKEN.*` beside NAME for as long as
it holds a lock on the one that ends in `.lock`. The system lets go of the lock when the writer
dies, however it dies; so the next writer can tell what was left from what is being written, which
the number of a process, given out again by and by, cannot.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .moving import replace

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_OLD, _LOCK, _DRAFT = ".old", ".lock", ".draft"


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Yield the path of a draft with the file's ending, which takes the file's place at the end.

    When anything goes wrong on the way, Ctrl-C included, the file stays as it was.

    Raises:
        OSError: when it cannot be written.

    """
    file = file.absolute()
    with claimed(file) as stem:
        draft = _with(stem, f"{_DRAFT}{file.suffix}")
        yield draft
        sync(draft)
        replace(draft, file)
        sync_folder(file.parent)


@contextmanager
def claimed(target: Path) -> Iterator[Path]:
    """Yield a fresh path beside `target` that is this writer's alone, and remove it at the end.

    What killed writers have left is settled first; see `recover`.

    Raises:
        OSError: when nothing can be written there.

    """
    recover(target)
    stem, handle = _claim(target)
    try:
        yield stem
    finally:
        _settle(stem, target)
        _release(stem, handle)


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Hold the lock on a file, which is there only meanwhile; yield whether nobody else has it.

    Where there are no locks, as on some network disks, nobody has it.

    Raises:
        OSError: when nothing can be written there.

    """
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        mine = _lock(handle) is not False
        if not mine or os.name == "nt" or os.fstat(handle).st_nlink:
            break
        os.close(handle)  # whoever had it has removed it meanwhile
    try:
        yield mine
    finally:
        if mine:
            with suppress(OSError):  # Windows removes no open files
                file.unlink()
            _release(file.with_suffix(""), handle)
        else:
            os.close(handle)


def recover(target: Path) -> None:
    """Put back what a killed writer has moved aside, and remove all else that such have left.

    Those that still run keep theirs. Without locks, as on some network disks, nobody can tell them
    apart: then only what was moved aside is put back, which harms neither.
    """
    for stem in _stems(target):
        with suppress(OSError):  # another user's, or just removed by another writer
            handle = os.open(_with(stem, _LOCK), os.O_RDWR | os.O_CREAT, 0o644)
            locked = _lock(handle)
            try:
                if locked:
                    _settle(stem, target)
                elif locked is None:
                    _put_back(stem, target)
                    _with(stem, _LOCK).unlink()
            finally:
                if locked is False:
                    os.close(handle)
                else:
                    _release(stem, handle)


def aside(stem: Path) -> Path:
    """Return where what stands at the target may be moved, to be put back unless replaced."""
    return _with(stem, _OLD)


def sync(path: Path) -> None:
    """Have a file, or a folder and all in it, written to the disk.

    Raises:
        OSError: when the disk refuses.

    """
    if not path.is_dir():
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            _flush(handle)
        finally:
            os.close(handle)
        return
    for inside in path.iterdir():
        sync(inside)
    sync_folder(path)


def _flush(handle: int) -> None:
    """Have an open file written to the disk."""
    if sys.platform == "darwin":  # where fsync leaves it in the memory of the disk
        with suppress(OSError):  # network disks have no such order
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, where the system knows how to."""
    # Windows opens no folder, and some network disks flush none: their names are safe or not.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _claim(target: Path) -> tuple[Path, int]:
    """Return a path that nobody uses, and the open file whose lock says whose it is."""
    while True:
        stem = target.with_name(f".{target.name}.partial-{os.urandom(4).hex()}")
        handle = os.open(_with(stem, _LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        # Between the two calls another writer may have taken it for a dead one's and removed it.
        if _lock(handle) is not False and os.fstat(handle).st_nlink:
            return stem, handle
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Take the lock of an open file; False when another has it, None where there are no locks."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # a byte, which need not be there
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second is what Windows says
        return False
    except OSError:
        return None
    return True


def _release(stem: Path, handle: int) -> None:
    """Let go of a lock, whose file is gone by then, unless the system removes no open files."""
    os.close(handle)
    if sys.platform == "win32":
        with suppress(OSError):
            _with(stem, _LOCK).unlink()


def _stems(target: Path) -> list[Path]:
    """Return the paths that writers of `target` own, or did."""
    name = re.escape(target.name)
    pattern = re.compile(rf"(\.{name}\.partial-[0-9a-f]+)(\.old|\.lock|\.draft.*)?")
    try:
        names = [path.name for path in target.parent.iterdir()]
    except OSError:  # whoever writes there will say why
        return []
    owned = {match[1] for file in names if (match := pattern.fullmatch(file))}
    return [target.with_name(stem) for stem in sorted(owned)]


def _settle(stem: Path, target: Path) -> None:
    """Put back what was moved aside and not replaced; remove the rest, the lock last."""
    _put_back(stem, target)
    lock = _with(stem, _LOCK)
    for left in stem.parent.iterdir():
        mine = left == stem or left.name.startswith(f"{stem.name}.")
        if mine and left != lock and (left != aside(stem) or target.exists()):
            _remove(left)
    with suppress(OSError):
        lock.unlink()


def _put_back(stem: Path, target: Path) -> None:
    if not target.exists():
        with suppress(OSError):
            aside(stem).rename(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(PermissionError):  # in use on Windows: the next writer removes it
            path.unlink(missing_ok=True)


def _with(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}{ending}")
