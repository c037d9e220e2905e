"""What the library says of this machine, for systems that tell Python less than Linux does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from ..errors import OptionError
from .library import machine_library

_TEXT_BYTES = 256


def library_cores() -> int:
    """Return how many physical cores of the fastest class this process may use; 0 if unknown."""
    try:
        cores: int = machine_library().edge_fast_cores()
    except OptionError:  # there is no library for this system
        return 0
    return cores


def library_cpu() -> tuple[str, frozenset[str]]:
    """Return the CPU's name and its features by Linux's names; empty where unknown."""
    try:
        functions = machine_library()
    except OptionError:  # there is no library for this system
        return "", frozenset()
    return _text(functions.edge_cpu_name), frozenset(_text(functions.edge_cpu_features).split())


def _text(write: Callable[[ctypes.Array[ctypes.c_char], int], None]) -> str:
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    write(text, _TEXT_BYTES)
    return text.value.decode("utf-8", "replace")
