"""Whether a process still runs, on Windows.

`os.kill(number, 0)`, by which POSIX is asked, ends the process there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_SYNCHRONIZE = 0x0010_0000  # the right to wait for its end, and to do nothing else
_NO_SUCH_PROCESS = 87  # ERROR_INVALID_PARAMETER
_RUNS = 0x102  # WAIT_TIMEOUT


class WindowsProcess:
    """A process by its number, which goes to no other one while this is held."""

    def __init__(self, number: int) -> None:
        """Open it."""
        self._kernel = ctypes.CDLL("kernel32", use_last_error=True)
        self._kernel.OpenProcess.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(self._kernel.OpenProcess(_SYNCHRONIZE, 0, number))
        last_error: Callable[[], int] = getattr(ctypes, "get_last_error", int)  # there alone
        self._gone = not self._handle and last_error() == _NO_SUCH_PROCESS

    def lives(self) -> bool:
        """Whether it runs; one that may not be looked at is taken to."""
        if not self._handle:
            return not self._gone
        return bool(self._kernel.WaitForSingleObject(self._handle, 0) == _RUNS)
