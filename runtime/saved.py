"""KV caches on disk, so that a program that starts again need not read its files again.

One file a cache, in numpy's own format without pickles: the ids and their rows. Who can read the
folder can read the text, so it is for the user alone. Files of another bundle or variant, and
damaged ones, are passed over with a line in the log.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .bundle import Bundle, engine_graph, weights_file
from .cache import KvCache, shared_start
from .errors import OptionError

LIMIT_BYTES = 1 << 30  # of all files in a folder, as 64 files of the 1.6B shape at 1,000 tokens
LEAST_TOKENS = 64  # fewer are read about as soon
_FORMAT = 1
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

_log = logging.getLogger(__name__)


def maker_of(bundle: Bundle, variants: Sequence[str], engine: str) -> str:
    """Return what tells rows of one model, its variants and an engine from all others."""
    names = [name for one in variants for name in (engine_graph(one), weights_file(one))]
    parts = [str(_FORMAT), engine, *variants, *(bundle.files[name]["sha256"] for name in names)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder for caches, for the user alone, where there is none.

    Raises:
        OptionError: when it is no folder and cannot become one.

    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"caches {folder} cannot be a folder: {error.strerror}; name another"
        ) from error


class Saved:
    """The caches in a folder, known by their ids; rows are read only when they are wanted."""

    def __init__(self, folder: Path, maker: str) -> None:
        """Look at the files of `maker` that are there; the folder is made where there is none.

        Raises:
            OptionError: when it is no folder and cannot become one.

        """
        self._folder, self._maker = folder, maker
        make_folder(folder)
        self._ids: dict[Path, list[int]] = {}
        for file in sorted(folder.glob("*.npz")):
            found = _read(file, "maker", "ids")
            if found is None:
                continue
            if str(found["maker"]) == maker and found["ids"].ndim == 1:
                self._ids[file] = found["ids"].tolist()
            else:
                _log.info("%s is of another model and is not used", file)

    def longest(self, wanted: list[int]) -> tuple[Path | None, int]:
        """Return the file that shares the most leading ids with `wanted`, and how many."""
        best: tuple[Path | None, int] = None, 0
        for file, ids in self._ids.items():
            shared = shared_start(ids, wanted)
            if shared > best[1]:
                best = file, shared
        return best

    def fill(self, cache: KvCache, file: Path, rows: int) -> None:
        """Put the first `rows` rows of a file into an empty cache; none where it is damaged."""
        found, arrays = _read(file, "rows"), _arrays(cache)
        ids = self._ids[file]
        if found is not None and arrays:
            kept = found["rows"]
            wanted = (len(arrays), len(ids), arrays[0].shape[-1])
            if kept.shape == wanted and kept.dtype == arrays[0].dtype:
                for array, one in zip(arrays, kept, strict=True):
                    array[0, 0, :rows] = one[:rows]
                cache.ids, cache.forgotten = ids[:rows], ids[rows:]
                return
            _log.warning("%s holds rows of %s, not %s; not used", file, kept.shape, wanted)
        del self._ids[file]  # so that it is not tried again

    def save(self, caches: Sequence[KvCache]) -> None:
        """Write the caches, each whole or not at all, in place of older ones of the same texts.

        Raises:
            OptionError: when the folder cannot be written.

        """
        for cache in caches:
            if len(cache.ids) < LEAST_TOKENS or not _arrays(cache):
                continue
            stale = [file for file, ids in self._ids.items() if 2 * cache.shared(ids) >= len(ids)]
            try:
                file = self._write(cache)
            except OSError as error:
                raise OptionError(
                    f"caches {self._folder} cannot be written: {error.strerror}; make room, or "
                    "name another folder"
                ) from error
            for old in stale:
                if old != file:
                    self._remove(old)
        self._remove_oldest()

    def _write(self, cache: KvCache) -> Path:
        ids = np.array(cache.ids, np.int64)
        file = (
            self._folder
            / f"{self._maker[:16]}-{hashlib.sha256(ids.tobytes()).hexdigest()[:16]}.npz"
        )
        self._ids[file] = list(cache.ids)
        if file.exists():
            os.utime(file)
            return file
        rows = np.stack([array[0, 0, : len(ids)] for array in _arrays(cache)])
        draft = file.with_name(f".{file.name}.partial-{os.getpid()}")
        try:
            with open(draft, "xb", opener=_for_the_user_alone) as stream:
                np.savez(stream, maker=np.array(self._maker), ids=ids, rows=rows)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        return file

    def _remove(self, file: Path) -> None:
        self._ids.pop(file, None)
        file.unlink(missing_ok=True)

    def _remove_oldest(self) -> None:
        states = [(file, file.stat()) for file in self._folder.glob("*.npz")]
        states.sort(key=lambda found: found[1].st_mtime)
        total = sum(state.st_size for _, state in states)
        for file, state in states:
            if total <= LIMIT_BYTES:
                return
            self._remove(file)
            total -= state.st_size


def _arrays(cache: KvCache) -> list[npt.NDArray[Any]]:
    """Return a cache's buffers [1, G, context, D]; none where they are a device's memory."""
    owners = [buffer.owner for buffer in cache.buffers]
    return [owner for owner in owners if isinstance(owner, np.ndarray)]


def _read(file: Path, *names: str) -> dict[str, npt.NDArray[Any]] | None:
    """Return arrays of a file, whose checksums hold; None where it is damaged."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except _DAMAGED as error:
        # numpy's own words would advise to load it unsafely.
        _log.warning("%s is damaged and not used (%s)", file, type(error).__name__)
        return None


def _for_the_user_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
