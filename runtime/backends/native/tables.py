"""Weights that no file has, as they are computed: angles of positions, slopes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...bundle.decoder import Alibi, Decoder, Rotary

SLOPES, COSINES, SINES = "slopes", "cosines", "sines"

Array = npt.NDArray[np.float32]


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
    angles = np.outer(np.arange(decoder.context) / positions.factor, frequencies)
    return {COSINES: np.cos(angles).astype(np.float32), SINES: np.sin(angles).astype(np.float32)}


class Tables:
    """Tables in one piece of memory, which must outlive whoever has an address in it."""

    def __init__(self, tables: Mapping[str, Array]) -> None:
        """Copy them one behind the other."""
        parts = [np.ascontiguousarray(table, np.float32).ravel() for table in tables.values()]
        self.memory: Array = np.concatenate([*parts, np.zeros(1, np.float32)])
        starts = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
        self._starts = dict(zip(tables, starts, strict=False))
        self._rows = {name: len(table) for name, table in tables.items()}

    def address(self, name: str) -> int | None:
        """Return where a table begins; None where there is none of that name."""
        start = self._starts.get(name)
        return None if start is None else int(self.memory.ctypes.data) + start

    def rows(self, name: str) -> int:
        """Return how many rows a table has; 0 where there is none of that name."""
        return self._rows.get(name, 0)
