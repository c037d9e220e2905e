"""The native library: where it is, what its functions take, and whether it computes rightly."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from itertools import count, product, takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import OptionError

_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).parents[1] / "backends" / "native" / f"_edge{_SUFFIX}"
BLOCK = 128  # values with one scale
NO_MEMORY, DONE, REFUSED = 0, 1, 2  # what the functions return


class CMatrix(ctypes.Structure):
    """As `Matrix` in edge.h."""

    _fields_ = (
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("rows", ctypes.c_int32),
        ("cols", ctypes.c_int32),
        ("bits", ctypes.c_int32),
    )


class CLayer(ctypes.Structure):
    """As `Layer` in edge.h."""

    _fields_ = (
        ("norm1", ctypes.c_void_p),
        ("norm2", ctypes.c_void_p),
        ("q", CMatrix),
        ("kv", CMatrix),
        ("out", CMatrix),
        ("gate_up", CMatrix),
        ("down", CMatrix),
    )


class CModel(ctypes.Structure):
    """As `Model` in edge.h."""

    _fields_ = (
        ("layers", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("head_size", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("hidden", ctypes.c_int32),
        ("vocabulary", ctypes.c_int32),
        ("context", ctypes.c_int32),
        ("turn_size", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
        ("slopes", ctypes.c_void_p),
        ("turn", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("embedding", CMatrix),
        ("head", CMatrix),
        ("blocks", ctypes.POINTER(CLayer)),
        ("data", ctypes.c_void_p),
        ("data_bytes", ctypes.c_int64),
    )


# What `edge_layout` says when both sides mean the same structures.
LAYOUT = sum(ctypes.sizeof(kind) * by for kind, by in ((CModel, 10000), (CLayer, 10), (CMatrix, 1)))


class Native:
    """The library, opened."""

    def __init__(self, path: Path = LIBRARY) -> None:
        """Load it and say what its functions take.

        Raises:
            OptionError: when it is not there or cannot be loaded; says what to do.

        """
        if not path.is_file():
            raise OptionError(
                "the native kernels were not built with this installation: install it again where "
                "there is GCC 11 or later"
            )
        self.path = path
        try:
            self.functions = library = ctypes.CDLL(str(path))
        except OSError as error:
            raise OptionError(f"the native kernels cannot be loaded: {error}") from error
        try:
            self._declare(library)
        except AttributeError as error:
            raise OptionError(f"the native kernels are of another version: {error}") from error
        if (found := library.edge_layout()) != LAYOUT:
            raise OptionError(
                f"the native kernels are of another version (layout {found}, expected {LAYOUT}): "
                "install the package again, or in a checkout: make native"
            )
        names = takewhile(lambda name: name is not None, map(library.edge_cpu, count()))
        self.able = [str(name, "ascii") for name in names]  # ways to compute, the fastest first

    @staticmethod
    def _declare(library: ctypes.CDLL) -> None:
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        library.edge_layout.restype, library.edge_layout.argtypes = number, []
        library.edge_open.restype = number
        library.edge_open.argtypes = [
            ctypes.POINTER(CModel), number, text, ctypes.POINTER(pointer)
        ]  # fmt: skip
        library.edge_cpu.restype, library.edge_cpu.argtypes = text, [number]
        library.edge_step.restype = number
        library.edge_step.argtypes = [pointer, pointer, number, number, pointer, number, pointer]
        library.edge_close.argtypes = [pointer]
        library.edge_product.restype = number
        library.edge_product.argtypes = [text, ctypes.POINTER(CMatrix), pointer, number, pointer]
        library.edge_fast_cores.restype, library.edge_fast_cores.argtypes = number, []
        for write in (library.edge_cpu_name, library.edge_cpu_features):
            write.restype, write.argtypes = None, [text, number]
        library.edge_flush_denormals.restype = ctypes.c_uint64
        library.edge_flush_denormals.argtypes = [number, ctypes.c_uint64]

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
        (rows, _, width), (tokens, cols) = codes.shape, x.shape
        bits = 8 * width // BLOCK
        matrix = CMatrix(codes.ctypes.data, scales.ctypes.data, rows, cols, bits)
        out = np.empty((tokens, rows), np.float32)
        done = self.functions.edge_product(
            cpu.encode(), ctypes.byref(matrix), x.ctypes.data, tokens, out.ctypes.data
        )
        if done != DONE:
            raise OptionError(f"this CPU cannot compute as {cpu!r}")
        return out


@cache
def opened() -> Native:
    """Return the library of this installation, which is opened once.

    Raises:
        OptionError: when it is not there or cannot be loaded.

    """
    return Native()


def right_product(
    codes: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return what `Native.product` should: in whole numbers and double precision."""
    rows, blocks, width = codes.shape
    if width == BLOCK:
        weights = codes.astype(np.int64) - 128
    else:
        weights = np.stack([codes & 15, codes >> 4], -1).reshape(rows, blocks, BLOCK) - np.int64(8)
    padded = np.zeros((len(x), blocks * BLOCK), np.float32)
    padded[:, : x.shape[1]] = x
    given = padded.reshape(len(x), blocks, BLOCK)
    steps = np.abs(given).max(2, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), steps, out=np.zeros_like(steps), where=steps > 0)
    # Doubles hold these whole numbers exactly, and are multiplied much faster.
    rounded = np.rint(given * inverse).astype(np.float64).transpose(1, 0, 2)
    whole = (rounded @ weights.astype(np.float64).transpose(1, 2, 0)).transpose(1, 2, 0)
    both = scales.astype(np.float64)[None] * steps.astype(np.float64).transpose(0, 2, 1)
    found: npt.NDArray[np.float32] = (whole * both).sum(2).astype(np.float32)
    return found


def computes_rightly(native: Native, cpu: str) -> bool:
    """Multiply small matrices: both kinds of codes, few and many tokens, a short last block."""
    rng = np.random.default_rng(0)
    for width, rows, cols in product((BLOCK // 2, BLOCK), (64, 70), (300, 17 * BLOCK)):
        blocks = -(-cols // BLOCK)
        codes = rng.integers(0, 256, (rows, blocks, width), np.uint8)
        scales = rng.uniform(0.01, 1, (rows, blocks)).astype(np.float16)
        x = rng.standard_normal((20, cols)).astype(np.float32)
        right = right_product(codes, scales, x)
        for tokens in (1, 2, 4, 7, 13, len(x)):  # every way that some CPU has
            found = native.product(cpu, codes, scales, x[:tokens])
            if not np.abs(found - right[:tokens]).max() <= 1e-5 * np.abs(right).max():
                return False
    return True
