"""When a file was last changed in any way, which a later change of its mtime does not hide.

POSIX calls that ctime. Windows keeps it too, but Python's `st_ctime` there says when the file was
made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_READ_ATTRIBUTES, _SHARED, _EXISTING, _FOLDERS_TOO = 0x80, 7, 3, 0x02000000
_BASIC_INFO, _INVALID = 0, ctypes.c_void_p(-1).value
_TICK_NS = 100
_FROM_1601_TO_1970_NS = 11_644_473_600 * 10**9


class BasicInfo(ctypes.Structure):
    """FILE_BASIC_INFO of Windows: times in 100 ns since 1601."""

    _fields_ = (
        ("created", ctypes.c_int64),
        ("read", ctypes.c_int64),
        ("written", ctypes.c_int64),
        ("changed", ctypes.c_int64),
        ("attributes", ctypes.c_uint32),
    )


def change_time_ns(file: Path, state: os.stat_result) -> int:
    """Return the time of a file's last change in ns since 1970; `state` is what `stat` says of it.

    Raises:
        OSError: when Windows does not tell.

    """
    return _of_windows(file) if sys.platform == "win32" else state.st_ctime_ns


def _of_windows(file: Path) -> int:
    kernel = ctypes.CDLL("kernel32")
    kernel.CreateFileW.restype = ctypes.c_void_p
    access = ctypes.c_wchar_p(str(file)), _READ_ATTRIBUTES, _SHARED, None, _EXISTING
    handle = kernel.CreateFileW(*access, _FOLDERS_TOO, None)
    info, done = BasicInfo(), False
    if handle != _INVALID:
        opened = ctypes.c_void_p(handle)
        read = kernel.GetFileInformationByHandleEx
        done = bool(read(opened, _BASIC_INFO, ctypes.byref(info), ctypes.sizeof(info)))
        kernel.CloseHandle(opened)
    if not done:
        raise OSError(errno.EIO, "the time of its last change cannot be read", str(file))
    return int(info.changed) * _TICK_NS - _FROM_1601_TO_1970_NS
