"""Weights that no file has, as they are computed: angles of positions, slopes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...bundle.decoder import Alibi, Decoder, Rotary

SLOPES, COSINES, SINES = "slopes", "cosines", "sines"
_ROWS_AT_ONCE = 1024  # of angles in double precision, which take twice the memory

Array = npt.NDArray[np.float32]


def table_bytes(decoder: Decoder) -> int:
    """Return the bytes of the tables of angles; 0 where positions are not rotary."""
    positions = decoder.positions
    return 4 * decoder.context * positions.dims if isinstance(positions, Rotary) else 0


def computed_tables(decoder: Decoder) -> dict[str, Array]:
    """Return the tables that a decoder's positions need, by name.

    Angles are computed in double precision: [context, dims / 2] cosines and sines.
    """
    positions = decoder.positions
    if isinstance(positions, Alibi):
        return {SLOPES: np.array(positions.slopes, np.float32)}
    if not isinstance(positions, Rotary):
        return {}
    frequencies = positions.base ** (-np.arange(0, positions.dims, 2) / positions.dims)
    places = np.arange(decoder.context) / positions.factor
    cosines = np.empty((decoder.context, len(frequencies)), np.float32)
    sines = np.empty_like(cosines)
    for start in range(0, decoder.context, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        angles = np.outer(places[rows], frequencies)
        cosines[rows], sines[rows] = np.cos(angles), np.sin(angles)
    return {COSINES: cosines, SINES: sines}


class Tables:
    """Tables in one piece of memory, which must outlive whoever has an address in it."""

    def __init__(self, tables: Mapping[str, Array]) -> None:
        """Copy them one behind the other."""
        parts = [np.ascontiguousarray(table, np.float32).ravel() for table in tables.values()]
        self.memory: Array = np.concatenate([*parts, np.zeros(1, np.float32)])
        starts = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
        self._starts = dict(zip(tables, starts, strict=False))

    def address(self, name: str) -> int | None:
        """Return where a table begins; None where there is none of that name."""
        start = self._starts.get(name)
        return None if start is None else int(self.memory.ctypes.data) + start
