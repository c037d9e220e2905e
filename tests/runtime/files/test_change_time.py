"""A file's last change, which putting its mtime back does not hide: on Windows too."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from refact_edge.runtime.files import change_time as changetime
from refact_edge.runtime.files.state import state_of

S_FROM_1601 = 11_644_473_600


class Kernel:
    """Windows' kernel32, with one file that was changed last at `changed_s` seconds since 1970."""

    class _Function:
        def __init__(self, handle: int | None) -> None:
            self._handle = handle

        def __call__(self, name: Any, access: int, *_: object) -> int | None:
            assert (type(name), access) == (ctypes.c_wchar_p, 0x80)
            return self._handle

    def __init__(self, changed_s: int, handle: int | None = 7) -> None:
        self.CreateFileW, self.changed_s = self._Function(handle), changed_s
        self.closed = 0

    def GetFileInformationByHandleEx(  # noqa: N802
        self, handle: Any, which: int, info: Any, size: int
    ) -> int:
        assert (handle.value, which, size) == (7, 0, 40)
        info._obj.changed = (self.changed_s + S_FROM_1601) * 10**7
        return 1

    def CloseHandle(self, handle: Any) -> None:  # noqa: N802
        assert handle.value == 7
        self.closed += 1


def test_posix_has_it_in_the_files_state(tmp_path: Path) -> None:
    state = tmp_path.stat()
    assert changetime.change_time_ns(tmp_path, state) == state.st_ctime_ns


def test_a_file_written_on_windows_whose_mtime_was_put_back_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(100)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: kernel)
    file = tmp_path / "weights"
    file.write_text("one")
    os.utime(file, (50, 50))
    before = state_of(file)
    assert before[-1] == 100 * 10**9
    file.write_text("two")
    os.utime(file, (50, 50))
    kernel.changed_s = 101
    assert state_of(file)[:-1] == before[:-1]
    assert state_of(file) != before
    assert kernel.closed == 3


def test_a_file_that_windows_does_not_open_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Kernel(1, ctypes.c_void_p(-1).value))
    with pytest.raises(OSError, match="the time of its last change cannot be read"):
        changetime.change_time_ns(tmp_path, tmp_path.stat())
