"""A first look at a GGUF file's header: counts and lengths within the file, before it is read.

What reads the file makes lists of as many parts as it says; a count of 2^62 would fill the memory.
Source: the specification of the format, versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ..runtime.errors import CheckpointError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_MOST_KEYS, _MOST_TENSORS = 2**16, 2**16
_STRING, _ARRAY = 8, 9
# Bytes of a value, by its type: UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, and of
# UINT64, INT64, FLOAT64.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def check_header(file: Path) -> None:
    """Walk over the keys of a file.

    Raises:
        CheckpointError: when it is no GGUF file, or says that more follows than does.

    """
    with file.open("rb") as stream:
        magic = stream.read(len(MAGIC))
        if magic != MAGIC:
            raise CheckpointError(
                f"{file} begins with {magic!r}, expected {MAGIC!r}; a checkpoint is a folder or a "
                "GGUF file"
            )
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _Walk(data).check()
            except (ValueError, struct.error) as error:
                raise CheckpointError(
                    f"{file} is a damaged GGUF file ({error}); download it again"
                ) from error


class _Walk:
    """A place in a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, len(MAGIC)

    def check(self) -> None:
        version = self._number("<I")
        if version not in VERSIONS:
            raise ValueError(f"version {version}, expected one of {VERSIONS}")
        tensors, keys = self._number("<Q"), self._number("<Q")
        if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
            raise ValueError(f"{tensors} tensors and {keys} keys")
        for _ in range(keys):
            self._string()
            kind = self._number("<I")
            if kind == _ARRAY:
                self._array()
            else:
                self._values(kind, 1)

    def _array(self) -> None:
        kind, count = self._number("<I"), self._number("<Q")
        if kind == _ARRAY:
            raise ValueError("an array of arrays")
        self._values(kind, count)

    def _values(self, kind: int, count: int) -> None:
        if kind == _STRING:
            if 8 * count > self._left:
                raise ValueError(f"{count} texts in {self._left} bytes")
            for _ in range(count):
                self._string()
        elif kind in _SIZES:
            self._skip(_SIZES[kind] * count)
        else:
            raise ValueError(f"a value of type {kind}")

    @property
    def _left(self) -> int:
        return len(self._data) - self._at

    def _string(self) -> None:
        self._skip(self._number("<Q"))

    def _number(self, form: str) -> int:
        (number,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(number)

    def _skip(self, count: int) -> None:
        if count > self._left:
            raise ValueError(f"{count} bytes of the {self._left} that are left")
        self._at += count
