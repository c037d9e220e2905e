"""A filter of system calls, as Linux's packet filter language has it, and its use on ourselves."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable

# Linux calls what `platform.machine()` says by these numbers in a filter (linux/audit.h).
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# A system call's numbers on x86_64 and on aarch64 (None: it has no such call), and the error that
# it then fails with.
Denied = tuple[int | None, int | None, int]

# clone's numbers: it makes threads too, which its first argument tells.
CLONE = (56, 220)
# linux/bpf_common.h, linux/seccomp.h, linux/prctl.h, linux/sched.h
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CALL_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets into struct seccomp_data
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32_CALLS = 0x40000000  # x86_64 has every call a second time from here on
_THREAD = 0x00010000
_NO_NEW_PRIVILEGES, _SECCOMP_CALL, _SET_FILTER, _ALL_THREADS = 38, (317, 277), 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def build_filter(machine: str, denied: Iterable[Denied], *, threads_only: bool = False) -> bytes:
    """Return the filter for `platform.machine()` that denies some calls, as the kernel reads it.

    With `threads_only`, new processes are denied and threads are not.

    Raises:
        KeyError: when the numbers of calls of that machine are not known here.

    """
    architecture = ARCHITECTURES[machine]
    column = list(ARCHITECTURES).index(machine)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    for *numbers, error in denied:
        if (number := numbers[column]) is not None:
            steps += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL | error)]
    if threads_only:
        steps += [
            (_IF_EQUAL, 0, 3, CLONE[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_IF_ANY_BIT, 1, 0, _THREAD),
            (_RETURN, 0, 0, _FAIL | errno.EPERM),
        ]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def why_no_filter() -> str:
    """Say why this process cannot filter its own calls; "" where it can."""
    if sys.platform == "linux" and platform.machine() in ARCHITECTURES:
        return ""
    return f"it needs Linux on {' or '.join(ARCHITECTURES)}, and this is {platform.machine()}"


def confine(own_filter: bytes) -> None:
    """Have all threads of this process obey a filter from now on, for good.

    Raises:
        OSError: when the kernel does not take it.

    """
    library = ctypes.CDLL(None, use_errno=True)
    steps = ctypes.create_string_buffer(own_filter, len(own_filter))
    program = _Program(len(own_filter) // 8, ctypes.cast(steps, ctypes.c_char_p))
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
    number = _SECCOMP_CALL[list(ARCHITECTURES).index(platform.machine())]
    # All at once, or none: a thread that could not follow is told by its number.
    if failed := library.syscall(number, _SET_FILTER, _ALL_THREADS, ctypes.byref(program)):
        code = ctypes.get_errno() if failed < 0 else errno.EBUSY
        raise OSError(code, os.strerror(code))
