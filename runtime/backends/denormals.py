"""Numbers next to zero, which many CPUs multiply some hundred times as slowly as all others.

Softmax over ALiBi's scores leaves many: at 2,000 tokens attention took three times as long for
them. They count for nothing, so they become zeros while a step is computed, and only in its thread:
the state belongs to the host program, which gets it back.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import OptionError
from ..machine.library import machine_library

_X86, _ARM = ("x86_64", "amd64"), ("aarch64", "arm64")


@contextmanager
def as_zeros() -> Iterator[None]:
    """Compute in this thread as if there were none, and give the state back.

    Without the native library this works on x86-64 Linux and Windows only.
    """
    control = _control()
    if control is None:
        yield
        return
    before = control.flush()
    try:
        yield
    finally:
        control.restore(before)


class _Library:
    """The native library, for every CPU that it knows."""

    def __init__(self) -> None:
        self._swap = machine_library().edge_flush_denormals

    def flush(self) -> Any:
        return self._swap(True, 0)

    def restore(self, before: Any) -> None:
        self._swap(False, before)


class _Linux:
    """C's fenv_t on x86-64 Linux: 28 bytes for the old unit, then MXCSR."""

    _MXCSR_AT, _SIZE = 28, 32
    _FLUSH = 0x8040  # results and operands next to zero become zeros

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libm.so.6")

    def flush(self) -> Any:
        before = (ctypes.c_char * self._SIZE)()
        self._library.fegetenv(before)
        flushing = (ctypes.c_char * self._SIZE).from_buffer_copy(before)
        ctypes.c_uint32.from_buffer(flushing, self._MXCSR_AT).value |= self._FLUSH
        self._library.fesetenv(flushing)
        return before

    def restore(self, before: Any) -> None:
        self._library.fesetenv(before)


class _Windows:
    """_controlfp_s as Microsoft documents it; there was no such machine to try it on."""

    _DN_FLUSH, _MCW_DN = 0x01000000, 0x03000000

    def __init__(self) -> None:
        self._library = ctypes.CDLL("ucrtbase")

    def flush(self) -> Any:
        before = self._controlled(0, 0)
        self._controlled(self._DN_FLUSH, self._MCW_DN)
        return before

    def restore(self, before: Any) -> None:
        self._controlled(before, self._MCW_DN)

    def _controlled(self, bits: int, mask: int) -> int:
        now = ctypes.c_uint(0)
        self._library._controlfp_s(ctypes.byref(now), bits, mask)
        return now.value


@functools.cache
def _control() -> _Library | _Linux | _Windows | None:
    """Return what controls the state; None where nothing here can."""
    machine = platform.machine().lower()
    if machine not in (*_X86, *_ARM):
        return None
    with contextlib.suppress(OptionError):  # there is no library for this system
        return _Library()
    if machine not in _X86:
        return None
    try:
        if sys.platform == "win32":
            return _Windows()
        return _Linux() if sys.platform == "linux" else None
    except OSError:
        return None
