"""KV caches on disk, so that a program that starts again need not evaluate its prompts again.

One file a cache. Who can read it can read the text, so files are for the user alone; who can write
one decides what the model generates, so a folder that others may write to is refused. Who can list
it sees sizes and times alone. Files of another bundle or variant stay as they are;
unusable ones of this one are removed with a line in the log.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Bundle, Sizes
from ..bundle.identity import running_hashes
from ..errors import OptionError
from ..files.ownership import why_not_private
from . import cache_file
from .cache import KvCache, shared_start

LIMIT_BYTES = 1 << 30  # of all files in a folder, as 64 files of the 1.6B shape at 1,000 tokens
LEAST_TOKENS = 64  # fewer are evaluated about as soon
_FORMAT = 2
# A folder that a user named may hold other files, which are not ours to read or to remove.
_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.npz")
_DRAFT_S = 3600  # a draft of that age was left by a process that was killed

_log = logging.getLogger(__name__)


def maker_of(bundle: Bundle, variants: Sequence[str], engine: str, kv_type: str) -> str:
    """Return a hash that differs for rows of another model, variant, engine or type."""
    parts = [str(_FORMAT), engine, kv_type, *variants, *running_hashes(bundle, variants)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder for caches, for the user alone, where there is none.

    Raises:
        OptionError: when it is no folder and cannot become one, or others may write to it.

    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except OSError as error:
        raise OptionError(
            f"caches {folder} cannot be a folder: {error.strerror}; name another"
        ) from error
    if reason := why_not_private(folder, state):
        own = hasattr(os, "getuid") and state.st_uid == os.getuid()
        remedy = f", or: chmod 700 {shlex.quote(str(folder))}" if own else ""
        raise OptionError(
            f"caches {folder}: {reason}, so what lies there may be somebody else's; expected a "
            f"folder that you alone may write to; name another{remedy}"
        )


class Saved:
    """The caches in a folder, found by their ids; rows are read only when they are used."""

    def __init__(self, folder: Path, maker: str, sizes: Sizes) -> None:
        """Look at the files of `maker` that are there; the folder is made where there is none.

        Raises:
            OptionError: when it is no folder and cannot become one, or others may write to it.

        """
        self._folder, self._maker, self._sizes = folder, maker, sizes
        make_folder(folder)
        self._ids: dict[Path, list[int]] = {}
        for file in sorted(folder.glob(f"{maker[:16]}-*.npz")):
            with self._removing(file):
                self._ids[file] = cache_file.read_ids(file, maker, sizes)

    def longest(self, prompt: list[int]) -> tuple[Path | None, int]:
        """Return the file that shares the most leading ids with `prompt`, and how many."""
        best: tuple[Path | None, int] = None, 0
        for file, ids in self._ids.items():
            shared = shared_start(ids, prompt)
            if shared > best[1]:
                best = file, shared
        return best

    def fill(self, cache: KvCache, file: Path, rows: int) -> None:
        """Put the first `rows` rows of a file into an empty cache; none where it is unusable."""
        arrays, ids = _arrays(cache), self._ids[file]
        if not arrays:
            return
        with self._removing(file):
            content = cache_file.read_rows(file, self._maker, self._sizes, ids, arrays[0])
            for array, one in zip(arrays, content, strict=True):
                array[0, 0, :rows] = one[:rows]
            cache.ids, cache.forgotten = ids[:rows], ids[rows:]

    def save(self, caches: Sequence[KvCache]) -> None:
        """Write the caches, each whole or not at all, in place of older ones of the same texts.

        Raises:
            OptionError: when the folder cannot be written.

        """
        try:
            for cache in caches:
                if len(cache.ids) >= LEAST_TOKENS and _arrays(cache):
                    self._replace(cache)
            self._remove_oldest()
        except OSError as error:
            raise OptionError(
                f"caches {self._folder} cannot be written: {error.strerror}; make room, or "
                "name another folder"
            ) from error

    def _replace(self, cache: KvCache) -> None:
        """Write a cache in place of those of which it holds the better part."""
        stale = [file for file, ids in self._ids.items() if 2 * cache.shared(ids) >= len(ids)]
        file = self._write(cache)
        for old in stale:
            if old != file:
                self._remove(old)

    def _write(self, cache: KvCache) -> Path:
        ids = list(cache.ids)
        digest = hashlib.sha256(np.array(ids, np.int64).tobytes()).hexdigest()
        file = self._folder / f"{self._maker[:16]}-{digest[:16]}.npz"
        if file in self._ids:
            with contextlib.suppress(FileNotFoundError):  # another process may have removed it
                os.utime(file)
                return file
        rows = np.stack([array[0, 0, : len(ids)] for array in _arrays(cache)])
        cache_file.write(file, self._maker, ids, rows)
        self._ids[file] = ids
        return file

    @contextlib.contextmanager
    def _removing(self, file: Path) -> Iterator[None]:
        """Remove a file that turns out to be unusable, so that the log names it once."""
        try:
            yield
        except FileNotFoundError:  # another process has removed it
            self._ids.pop(file, None)
        except cache_file.UnusableFileError as error:
            try:
                self._remove(file)
            except OSError as refusal:
                reason = refusal.strerror
                _log.warning("caches: %s cannot be used: %s; remove it (%s)", file, error, reason)
            else:
                _log.warning("caches: %s cannot be used and was removed: %s", file, error)

    def _remove(self, file: Path) -> None:
        self._ids.pop(file, None)
        file.unlink(missing_ok=True)

    def _remove_oldest(self) -> None:
        states = []
        for file in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if _NAME.fullmatch(file.name):
                    states.append((file, file.lstat()))
                elif _is_left_draft(file):
                    file.unlink()
        states.sort(key=lambda pair: pair[1].st_mtime)
        total = sum(state.st_size for _, state in states)
        for file, state in states:
            if total <= LIMIT_BYTES:
                return
            self._remove(file)
            total -= state.st_size


def _is_left_draft(file: Path) -> bool:
    name = file.name.removeprefix(".")
    return (
        bool(_NAME.match(name))
        and name.endswith(cache_file.DRAFT_ENDING)
        and time.time() - file.lstat().st_mtime > _DRAFT_S
    )


def _arrays(cache: KvCache) -> list[npt.NDArray[Any]]:
    """Return a cache's buffers [1, G, context, D]; none where they are a device's memory."""
    owners = [buffer.owner for buffer in cache.buffers]
    return [owner for owner in owners if isinstance(owner, np.ndarray)]
