"""Standard output and error of a server, which goes on without them.

A windowed program has neither, a parent may close its end of the pipe, and a disk may be full.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from ...errors import printable


def say(line: str) -> None:
    """Write a line to standard output, where there is one."""
    _write(sys.stdout, line)


def note(line: str) -> None:
    """Write a line to standard error, where there is one."""
    _write(sys.stderr, line)


def _write(stream: TextIO | None, line: str) -> None:
    if stream is None or stream.closed:
        return
    try:
        stream.write(printable(line) + "\n")
        stream.flush()
    except OSError:
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Send what a stream holds, and what comes later, nowhere: Python would fail at exit."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
