"""A server on Windows ends when the program that started it lets go of its standard input."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.serve.process.input_pipe import InputPipe

# Windows' kernel32 by poll, and a process that computes nothing until it is told to end.
SERVER = """
import asyncio, ctypes, select, signal, sys
from refact_edge.runtime.serve.process import parent

class Kernel:
    class _Function:
        def __call__(self, number):
            assert number == -10
            return 0
    GetStdHandle = _Function()
    def GetFileType(self, handle):
        return 3
    def PeekNamedPipe(self, handle, *nothing):
        poll = select.poll()
        poll.register(0, select.POLLHUP)
        return not poll.poll(0)

sys.platform = "win32"
ctypes.CDLL = lambda name: Kernel()
parent._POLL_S = 0.01
signal.signal(signal.SIGTERM, signal.default_int_handler)
parent.end_with_parent()
print("begun", flush=True)

async def serve():
    while True:
        await asyncio.sleep(0.05)  # as uvicorn does; on Windows the event loop wakes by itself

try:
    asyncio.run(serve())
except KeyboardInterrupt:
    print("told to end")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="simulates Windows' pipes by those of POSIX")
def test_it_ends_when_the_other_end_is_closed_and_not_before() -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        try:
            said, _ = process.communicate(timeout=20)  # which closes the pipe
        finally:
            process.kill()
        assert (said, process.returncode) == ("told to end\n", 0)


class Kernel:
    """Windows' kernel32, whose standard input is a terminal (2) or a pipe (3)."""

    class _Function:
        def __call__(self, _number: int) -> int:
            return 7

    def __init__(self, kind: int, held: bool) -> None:
        self.GetStdHandle, self._kind, self._held = self._Function(), kind, held

    def GetFileType(self, handle: ctypes.c_void_p) -> int:  # noqa: N802
        assert handle.value == 7
        return self._kind

    def PeekNamedPipe(self, handle: ctypes.c_void_p, *_: object) -> int:  # noqa: N802
        assert handle.value == 7
        return int(self._held)


@pytest.mark.parametrize(("kind", "held"), [(2, True), (3, False)], ids=["terminal", "closed"])
def test_without_a_pipe_that_somebody_holds_it_says_what_it_needs(
    kind: int, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Kernel(kind, held))
    with pytest.raises(OptionError, match="needs a pipe as standard input"):
        InputPipe()
