"""One KV cache as a file, in numpy's own format without pickles: who made it, its ids, their rows.

Only this user can have written it, and still nothing in it is trusted: no more memory is allocated
than the model could have filled, nothing is decompressed, and every array has its checksum.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ..bundle.contract import Sizes
from ..files.moving import replace
from ..files.ownership import open_private
from .kv_type import KV_TYPES

DRAFT_ENDING = ".partial"
_MEMBERS = ["ids.npy", "maker.npy", "rows.npy"]
_HEADER_BYTES = 256  # numpy writes 128
_ZIP_BYTES = 1 << 16  # far more than the headers and the directory take
_IDS = np.dtype("<i8")
# What zipfile and numpy raise for bytes that they cannot read; OSError for places before the start.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    NotImplementedError,
    tokenize.TokenError,
)


class UnusableFileError(Exception):
    """A file is not as it was saved, or may not be used; says why."""


def read_ids(file: Path, maker: str, sizes: Sizes) -> list[int]:
    """Return the ids of a file.

    Raises:
        UnusableFileError: when they are none that this maker saved.
        FileNotFoundError: when it is gone.

    """
    with _archive(file, sizes) as archive:
        return _ids(archive, maker, sizes)


def read_rows(
    file: Path, maker: str, sizes: Sizes, ids: list[int], rows: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return the rows of `ids` [2 * layers, T, D], of the type and last axis of an array `rows`.

    Raises:
        UnusableFileError: when they are none that this maker saved of these ids.
        FileNotFoundError: when it is gone.

    """
    with _archive(file, sizes) as archive:
        if _ids(archive, maker, sizes) != ids:
            raise UnusableFileError("it holds another text than before")
        shape = (2 * sizes.layers, len(ids), rows.shape[-1])
        return _array(archive, "rows.npy", rows.dtype, shape)


def write(file: Path, maker: str, ids: list[int], rows: npt.NDArray[Any]) -> None:
    """Write a file for this user alone, whole or not at all."""
    descriptor, name = tempfile.mkstemp(DRAFT_ENDING, f".{file.name}.", file.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.savez(stream, maker=np.array(maker), ids=np.array(ids, _IDS), rows=rows)
        replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _archive(file: Path, sizes: Sizes) -> Iterator[zipfile.ZipFile]:
    with _opened(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > _most_bytes(sizes):
            raise UnusableFileError("it is larger than any cache of this model")
        try:
            with zipfile.ZipFile(stream) as archive:
                _check_directory(archive.infolist(), size)
                yield archive
        except _DAMAGE as error:  # whose own words would advise to load it unsafely
            raise UnusableFileError("it is damaged") from error


def _opened(file: Path) -> BinaryIO:
    try:
        return open_private(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnusableFileError(error.strerror or type(error).__name__) from error


def _most_bytes(sizes: Sizes) -> int:
    row = max(kv_type.token_bytes(sizes) for kv_type in KV_TYPES.values())
    return sizes.context * (row + _IDS.itemsize) + _ZIP_BYTES


def _check_directory(members: list[zipfile.ZipInfo], file_bytes: int) -> None:
    """Refuse a file that was not stored as we store it, before any of it is read."""
    if sorted(member.filename for member in members) != _MEMBERS:
        raise UnusableFileError("it does not hold a maker, ids and rows")
    if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits for m in members):
        raise UnusableFileError("it is compressed or encrypted, which saved caches are not")
    if sum(member.file_size for member in members) > file_bytes:
        raise UnusableFileError("it is cut off")


def _ids(archive: zipfile.ZipFile, maker: str, sizes: Sizes) -> list[int]:
    written = np.array(maker)
    if _array(archive, "maker.npy", written.dtype, ()) != written:
        raise UnusableFileError("it is of another model")
    ids = _array(archive, "ids.npy", _IDS, None)
    if len(ids) > sizes.context or (len(ids) and not 0 <= ids.min() <= ids.max() < sizes.tokens):
        raise UnusableFileError(f"its ids are not at most {sizes.context} of this model's")
    return [int(one) for one in ids]


def _array(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None
) -> npt.NDArray[Any]:
    """Return a member of that type and shape; None for a list of any length.

    All of a member is read, as its checksum is compared with the last of its bytes.
    """
    member = archive.getinfo(name)
    with archive.open(member) as stream:
        if npy.read_magic(stream) != (1, 0):
            raise UnusableFileError(f"{name} is of another version")
        header = npy.read_array_header_1_0(stream, max_header_size=_HEADER_BYTES)
        data_bytes = member.file_size - stream.tell()
        expected = (data_bytes // dtype.itemsize,) if shape is None else shape
        if header != (expected, False, dtype) or data_bytes != math.prod(expected) * dtype.itemsize:
            raise UnusableFileError(
                f"{name} holds {header[2]} of {header[0]}, not {dtype} of {expected}"
            )
        return np.frombuffer(stream.read(data_bytes), dtype).reshape(expected)
