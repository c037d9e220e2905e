"""Numbers next to zero, which x86 CPUs multiply some hundred times as slowly as all others.

Softmax over ALiBi's scores leaves many: at 2,000 tokens attention took six times as long for them.
They count for nothing, so they become zeros while a step is computed, and only in its thread: the
state belongs to the host program, which gets it back.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Of C's fenv_t on x86-64 Linux: 28 bytes for the old unit, then MXCSR.
_MXCSR_AT, _SIZE = 28, 32
_FLUSH = 0x8040  # results and operands next to zero become zeros
# Of Windows' _controlfp_s, and what of it this is about.
_DN_FLUSH, _MCW_DN = 0x01000000, 0x03000000

_Restore = Callable[[], object]


@contextmanager
def as_zeros() -> Iterator[None]:
    """Compute in this thread as if there were none; nothing on other CPUs, which do not mind."""
    flush = _flusher()
    restore = flush() if flush else None
    try:
        yield
    finally:
        if restore:
            restore()


@functools.cache
def _flusher() -> Callable[[], _Restore] | None:
    """Return what flushes in a thread and says how to undo it; None where that is not known."""
    flush, library = {
        "linux": (_flush_on_linux, "libm.so.6"),
        "win32": (_flush_on_windows, "ucrtbase"),
    }.get(sys.platform, (None, ""))
    if flush is None or platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        return functools.partial(flush, ctypes.CDLL(library))
    except OSError:
        return None


def _flush_on_linux(library: Any) -> _Restore:
    before = (ctypes.c_char * _SIZE)()
    library.fegetenv(before)
    flushing = (ctypes.c_char * _SIZE).from_buffer_copy(before)
    ctypes.c_uint32.from_buffer(flushing, _MXCSR_AT).value |= _FLUSH
    library.fesetenv(flushing)
    return functools.partial(library.fesetenv, before)


def _flush_on_windows(library: Any) -> _Restore:
    """Of Microsoft's documentation; there was no such machine to try it on."""
    before, now = ctypes.c_uint(0), ctypes.c_uint(0)
    library._controlfp_s(ctypes.byref(before), 0, 0)
    library._controlfp_s(ctypes.byref(now), _DN_FLUSH, _MCW_DN)
    return functools.partial(library._controlfp_s, ctypes.byref(now), before.value, _MCW_DN)
