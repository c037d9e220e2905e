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

# Of C's fenv_t on x86-64 Linux: 28 bytes for the old unit, then MXCSR.
_MXCSR_AT, _SIZE = 28, 32
_FLUSH = 0x8040  # results and operands next to zero become zeros


@contextmanager
def as_zeros() -> Iterator[None]:
    """Compute in this thread as if there were none; elsewhere than on x86-64 Linux, nothing."""
    functions = _functions()
    if functions is None:
        yield
        return
    read, write = functions
    before = (ctypes.c_char * _SIZE)()
    read(before)
    flushing = (ctypes.c_char * _SIZE).from_buffer_copy(before)
    state = ctypes.c_uint32.from_buffer(flushing, _MXCSR_AT)
    state.value |= _FLUSH
    write(flushing)
    try:
        yield
    finally:
        write(before)


@functools.cache
def _functions() -> tuple[Callable[..., int], Callable[..., int]] | None:
    """Return C's fegetenv and fesetenv where their state is known to be laid out as above."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        library = ctypes.CDLL("libm.so.6")
    except OSError:
        return None
    return library.fegetenv, library.fesetenv
