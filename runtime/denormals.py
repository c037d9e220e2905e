"""Numbers next to zero, which x86 CPUs multiply some hundred times as slowly as all others.

Softmax over ALiBi's scores leaves many: at 2,000 tokens attention took three times as long for
them. They count for nothing, so they become zeros while a step is computed, and only in its thread:
the state belongs to the host program, which gets it back.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def as_zeros() -> Iterator[None]:
    """Compute in this thread as if there were none, on x86-64 Linux and Windows; give it back."""
    control = _control()
    if control is None:
        yield
        return
    before = control.state()
    try:
        control.flush(before)
        yield
    finally:
        control.restore(before)


class _Linux:
    """C's fenv_t on x86-64 Linux: 28 bytes for the old unit, then MXCSR."""

    _MXCSR_AT, _SIZE = 28, 32
    _FLUSH = 0x8040  # results and operands next to zero become zeros

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libm.so.6")

    def state(self) -> Any:
        found = (ctypes.c_char * self._SIZE)()
        self._library.fegetenv(found)
        return found

    def flush(self, before: Any) -> None:
        flushing = (ctypes.c_char * self._SIZE).from_buffer_copy(before)
        ctypes.c_uint32.from_buffer(flushing, self._MXCSR_AT).value |= self._FLUSH
        self._library.fesetenv(flushing)

    def restore(self, before: Any) -> None:
        self._library.fesetenv(before)


class _Windows:
    """_controlfp_s as Microsoft documents it; there was no such machine to try it on."""

    _DN_FLUSH, _MCW_DN = 0x01000000, 0x03000000

    def __init__(self) -> None:
        self._library = ctypes.CDLL("ucrtbase")

    def state(self) -> Any:
        return self._controlled(0, 0)

    def flush(self, before: Any) -> None:
        del before
        self._controlled(self._DN_FLUSH, self._MCW_DN)

    def restore(self, before: Any) -> None:
        self._controlled(before, self._MCW_DN)

    def _controlled(self, wanted: int, which: int) -> int:
        now = ctypes.c_uint(0)
        self._library._controlfp_s(ctypes.byref(now), wanted, which)
        return now.value


@functools.cache
def _control() -> _Linux | _Windows | None:
    """Return what controls the state; None where that is not known."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        if sys.platform == "win32":
            return _Windows()
        return _Linux() if sys.platform == "linux" else None
    except OSError:
        return None
