"""On Windows a language server ends with the process that its editor names, and ends none."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from refact_edge.runtime.serve.process.windows_process import WindowsProcess

# Windows' kernel32 of one process, which runs until standard input says otherwise.
SERVER = """
import ctypes, select, signal, sys, time
from refact_edge.runtime.serve.process import parent

class Kernel:
    class _Function:
        def __call__(self, rights, inherits, number):
            assert (rights, inherits, number) == (0x100000, 0, 77)
            return 5
    OpenProcess = _Function()
    def WaitForSingleObject(self, handle, milliseconds):
        assert (handle.value, milliseconds) == (5, 0)
        return 0 if select.select([0], [], [], 0)[0] else 0x102

def no_signal(number, sent):
    raise AssertionError("which ends a process there")

sys.platform = "win32"
ctypes.CDLL = lambda name, use_last_error: Kernel()
parent.os.kill = no_signal
parent._POLL_S = 0.01
signal.signal(signal.SIGTERM, signal.default_int_handler)
parent.end_with(77)
print("begun", flush=True)
try:
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    print("told to end")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="simulates Windows by POSIX")
def test_it_ends_when_the_process_does_and_not_before() -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        try:
            said, _ = process.communicate("end\n", timeout=20)
        finally:
            process.kill()
        assert (said, process.returncode) == ("told to end\n", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="simulates Windows by POSIX")
@pytest.mark.parametrize(("error", "lives"), [(87, False), (5, True)], ids=["gone", "forbidden"])
def test_one_that_cannot_be_opened_has_ended_unless_it_is_forbidden(
    error: int, lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel:
        class _Function:
            def __call__(self, *_: int) -> int:
                return 0

        OpenProcess = _Function()

    monkeypatch.setattr(ctypes, "CDLL", lambda _name, use_last_error: Kernel())
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    assert WindowsProcess(77).lives() is lives
