"""Whether a file still holds what was hashed, which its state tells without reading it.

Whoever writes into a file changes its size or one of its times, and a file that was copied has
another inode: it is then hashed again, and compared. Of a link both count, its own state and that
of the file it leads to. The time of its last change cannot be set back
by `os.utime`; programs made for that can do so on Windows, and a disk may forget: such a file
passes, except where hashing is asked for, as `doctor` does.
"""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .change_time import change_time_ns
from .sha256 import file_sha256

_TICK_S = 0.02  # Linux's clock for files may stand still for 10 ms


@dataclass(frozen=True)
class HashNote:
    """A file's sha256, and its state from before it was hashed.

    A write during the hashing gives the file another state, which makes the note void.
    """

    sha256: str
    state: tuple[int, ...]


def state_of(file: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced: its place on disk, size and times.

    Where `file` is a link, that is of what it leads to, and then the link's own place and times.
    """
    state = file.stat()
    times = (state.st_mtime_ns, change_time_ns(file, state))
    return state.st_dev, state.st_ino, state.st_size, *times, *_links_own(file)


def _links_own(file: Path) -> tuple[int, ...]:
    """Return the state of a link itself; nothing of a file that is none."""
    own = file.lstat()
    if not stat.S_ISLNK(own.st_mode):
        return ()
    # Windows says when it was made in place of its last change; links are made anew, not written.
    return own.st_dev, own.st_ino, own.st_mtime_ns, own.st_ctime_ns


def settled_state_of(file: Path) -> tuple[int, ...]:
    """Return a file's state as soon as a later write is sure to change it, within some 20 ms."""
    state = state_of(file)
    age = time.time() - max(*state[3:5], *state[-2:]) / 1e9
    if 0 <= age < _TICK_S:
        time.sleep(_TICK_S - age)
        return state_of(file)
    return state


def hash_note(file: Path) -> HashNote:
    """Hash a file."""
    state = settled_state_of(file)
    return HashNote(file_sha256(file), state)


def current(note: HashNote, file: Path, *, hashes: bool = False) -> HashNote | None:
    """Return the note that holds for a file now; None where its content is another.

    It is the same note where the state is the same, and the file then is not read, unless `hashes`.
    """
    if not hashes and state_of(file) == note.state:
        return note
    renewed = hash_note(file)
    unchanged = renewed.sha256 == note.sha256 and state_of(file) == renewed.state
    return renewed if unchanged else None


def as_json(note: HashNote) -> dict[str, Any]:
    """Return a note as JSON has it."""
    return {"sha256": note.sha256, "state": list(note.state)}


def from_json(value: Any) -> HashNote:
    """Return the note that `as_json` wrote.

    Raises:
        ValueError: when it is none.

    """
    try:
        return HashNote(str(value["sha256"]), tuple(map(int, value["state"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{value!r} is no note of a hash") from error
