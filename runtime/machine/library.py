"""The native library as a file: where it is, and what it says of this machine.

What it computes is declared in backends/native/library.py.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

from ..errors import OptionError

_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).parents[1] / "backends" / "native" / f"_edge{_SUFFIX}"


def load_library(path: Path = LIBRARY) -> ctypes.CDLL:
    """Load the library.

    Raises:
        OptionError: when it is not there or cannot be loaded; says what to do.

    """
    if not path.is_file():
        raise OptionError(
            "the native kernels were not built with this installation: install it again where "
            "there is GCC 11 or later"
        )
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise OptionError(f"the native kernels cannot be loaded: {error}") from error


@cache
def machine_library() -> ctypes.CDLL:
    """Return the library with the functions of machine.h declared; it is loaded once.

    Raises:
        OptionError: when it is not there, cannot be loaded or lacks one of them.

    """
    library = load_library()
    text, number = ctypes.c_char_p, ctypes.c_int
    try:
        library.edge_fast_cores.restype, library.edge_fast_cores.argtypes = number, []
        for write in (library.edge_cpu_name, library.edge_cpu_features):
            write.restype, write.argtypes = None, [text, number]
        library.edge_flush_denormals.restype = ctypes.c_uint64
        library.edge_flush_denormals.argtypes = [number, ctypes.c_uint64]
    except AttributeError as error:
        raise OptionError(f"the native kernels are of another version: {error}") from error
    return library
