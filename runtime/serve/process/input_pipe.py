"""Whether the pipe that is standard input still has another end, on Windows.

A process cannot tell there who started it: `refact-edge.exe` and the `python.exe` of a virtual
environment start another process and wait for it, also when their own parent is gone. A pipe that
the host holds leads through all of them.
"""

from __future__ import annotations

import ctypes

from ...errors import OptionError

_STANDARD_INPUT, _PIPE = -10, 3  # STD_INPUT_HANDLE, FILE_TYPE_PIPE


class InputPipe:
    """The pipe that is standard input. Nothing is read from it."""

    def __init__(self) -> None:
        """Find it.

        Raises:
            OptionError: when standard input is no pipe, or nobody holds the other end.

        """
        self._kernel = ctypes.CDLL("kernel32")
        self._kernel.GetStdHandle.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(self._kernel.GetStdHandle(_STANDARD_INPUT))
        if self._kernel.GetFileType(self._handle) != _PIPE or not self.has_other_end():
            raise OptionError(
                "--exit-with-parent on Windows needs a pipe as standard input, which the program "
                "that starts this one keeps open; it is none, or closed: give it a pipe or leave "
                "the option out"
            )

    def has_other_end(self) -> bool:
        """Whether somebody holds its other end."""
        # Asked, not read: what reads a pipe keeps libraries that look at it from being loaded.
        return bool(self._kernel.PeekNamedPipe(self._handle, None, 0, None, None, None))
