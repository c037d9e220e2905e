"""The native library's products and steps: what its functions take, and what it can compute as."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import OptionError
from ...machine.library import LIBRARY as LIBRARY
from ...machine.library import load_library
from . import layout

BLOCK = 128  # values with one scale in int4's files, of which also those speak who have no library


class Native:
    """The library, opened. `constants` are those of its headers, by their names there."""

    def __init__(self, path: Path = LIBRARY) -> None:
        """Load it, and make sure that it means the same structures.

        Raises:
            OptionError: when it is not there, cannot be loaded, or is of another version; says
                what to do.

        """
        self.path = path
        self.functions = load_library(path)
        try:
            _declare(self.functions)
        except AttributeError as error:
            raise OptionError(f"the native kernels are of another version: {error}") from error
        self.constants = _constants(self.functions)
        _check_layout(self.functions)
        names = takewhile(lambda name: name is not None, map(self.functions.edge_cpu, count()))
        self.able = [str(name, "ascii") for name in names]  # ways to compute, the fastest first

    @property
    def best(self) -> str:
        """The fastest way to compute that this CPU can."""
        return self.able[0]

    def product(
        self,
        cpu: str,
        codes: npt.NDArray[np.uint8],
        scales: npt.NDArray[np.float16],
        x: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """Return x [T, cols] times the weights [rows, cols] of codes [rows, blocks, bytes].

        Raises:
            OptionError: when this CPU cannot compute as `cpu` names it.

        """
        (rows, _, width), cols = codes.shape, x.shape[1]
        bits = 8 * width // self.constants["BLOCK"]
        matrix = layout.Matrix(codes.ctypes.data, scales.ctypes.data, None, rows, cols, bits)
        return self._product(cpu, matrix, 0, x)

    def product_by_row(
        self,
        cpu: str,
        codes: npt.NDArray[np.int8],
        scales: npt.NDArray[np.float32],
        x: npt.NDArray[np.float32],
        terms: int = 1,
    ) -> npt.NDArray[np.float32]:
        """Return x [T, cols], in sums of `terms` bytes, times codes [cols, rows], scales [rows].

        Raises:
            OptionError: when this CPU cannot compute as `cpu` names it.

        """
        cols, rows = codes.shape
        matrix = layout.Matrix(codes.ctypes.data, None, scales.ctypes.data, rows, cols, 8)
        return self._product(cpu, matrix, terms, x)

    def _product(
        self, cpu: str, matrix: layout.Matrix, terms: int, x: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        out = np.empty((len(x), matrix.rows), np.float32)
        done = self.functions.edge_product(
            cpu.encode(), ctypes.byref(matrix), terms, x.ctypes.data, len(x), out.ctypes.data
        )
        if done != self.constants["EDGE_DONE"]:
            raise OptionError(f"this CPU cannot compute as {cpu!r}")
        return out

    def cached(self, cpu: str, kv_type: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what a cache of a type gives back of a head's numbers, by both ways to attend.

        Raises:
            OptionError: when this CPU cannot compute as `cpu` names it.

        """
        out, number = np.empty((2, len(x)), np.float32), self.constants[f"KV_{kv_type.upper()}"]
        done = self.functions.edge_cached(
            cpu.encode(), number, x.ctypes.data, len(x), out.ctypes.data
        )
        if done != self.constants["EDGE_DONE"]:
            raise OptionError(f"this CPU cannot compute as {cpu!r}")
        return out


def _declare(library: ctypes.CDLL) -> None:
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    numbers = ctypes.POINTER(number)
    library.edge_open.restype = number
    library.edge_open.argtypes = [
        ctypes.POINTER(layout.Program), number, text, ctypes.POINTER(pointer)
    ]  # fmt: skip
    library.edge_step.restype = number
    library.edge_step.argtypes = [pointer, pointer, number, number, pointer, number, pointer]
    library.edge_close.argtypes = [pointer]
    library.edge_cpu.restype, library.edge_cpu.argtypes = text, [number]
    library.edge_field.restype, library.edge_field.argtypes = text, [number, numbers, numbers]
    library.edge_constant.restype, library.edge_constant.argtypes = text, [number, numbers]
    library.edge_product.restype = number
    library.edge_product.argtypes = [
        text, ctypes.POINTER(layout.Matrix), number, pointer, number, pointer
    ]  # fmt: skip
    library.edge_cached.restype = number
    library.edge_cached.argtypes = [text, number, pointer, number, pointer]


def _listed(entry: Callable[..., bytes | None], values: int) -> dict[str, tuple[int, ...]]:
    """Return what a function of the library lists, by name: so many numbers each."""
    entries: dict[str, tuple[int, ...]] = {}
    numbers = [ctypes.c_int() for _ in range(values)]
    while (name := entry(len(entries), *map(ctypes.byref, numbers))) is not None:
        entries[name.decode("ascii")] = tuple(one.value for one in numbers)
    return entries


def _constants(library: ctypes.CDLL) -> dict[str, int]:
    return {name: value for name, (value,) in _listed(library.edge_constant, 1).items()}


def _check_layout(library: ctypes.CDLL) -> None:
    """Compare the place of each field here with the library's.

    Raises:
        OptionError: naming the first that differs.

    """
    theirs = _listed(library.edge_field, 2)
    mine = {name: (offset, size) for name, offset, size in layout.fields()}
    for name in (*mine, *theirs):
        if mine.get(name) != theirs.get(name):
            raise OptionError(
                f"the native kernels are of another version ({name} at {theirs.get(name)}, "
                f"expected {mine.get(name)}): install the package again, or in a checkout: "
                "make native"
            )


@cache
def opened() -> Native:
    """Return the library of this installation, which is opened once.

    Raises:
        OptionError: when it is not there or cannot be loaded.

    """
    return Native()
