"""What a Windows user may trust: the own folder, and elsewhere what the user owns."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from refact_edge.runtime.engine import disk_cache as saved
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.files import ownership
from refact_edge.runtime.files import windows_owner as windowsowner

ADMINISTRATORS, ME, OTHER = 100, 101, 102  # where their SIDs lie


class Windows:
    """The functions of advapi32 and kernel32 that tell whose a file is."""

    class _Function:
        def __call__(self) -> int:
            return -1

    def __init__(self, owner: int | None, *, token: bool = True) -> None:
        self._owner, self._token = owner, token
        self.GetCurrentProcess = self._Function()
        self.freed: list[Any] = []

    def GetNamedSecurityInfoW(self, name: Any, *pointers: Any) -> int:  # noqa: N802
        if self._owner is None:
            return 2
        pointers[2]._obj.value, pointers[6]._obj.value = self._owner, 55
        return 0

    def IsWellKnownSid(self, sid: Any, which: int) -> int:  # noqa: N802
        return int(which == 26 and sid.value == ADMINISTRATORS)

    def OpenProcessToken(self, process: Any, access: int, token: Any) -> int:  # noqa: N802
        token._obj.value = 77
        return int(self._token)

    def GetTokenInformation(  # noqa: N802
        self, token: Any, which: int, user: Any, room: int, size: Any
    ) -> int:
        assert (token.value, which) == (77, 1)
        ctypes.c_void_p.from_buffer(user).value = ME
        return 1

    def EqualSid(self, one: Any, other: Any) -> int:  # noqa: N802
        return int(one.value == other.value)

    def LocalFree(self, memory: Any) -> None:  # noqa: N802
        self.freed.append(memory.value)

    def CloseHandle(self, handle: Any) -> None:  # noqa: N802
        self.freed.append(handle.value)


@pytest.mark.parametrize(
    ("owner", "owned"), [(ME, True), (ADMINISTRATORS, True), (OTHER, False), (None, False)]
)
def test_the_user_and_administrators_are_the_owners(
    owner: int | None, owned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows(owner)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: windows)
    assert windowsowner.is_owned(tmp_path) == owned
    assert windows.freed == {None: [], ADMINISTRATORS: [55]}.get(owner, [77, 55])


def test_without_a_token_nothing_is_owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Windows(ME, token=False))
    assert not windowsowner.is_owned(tmp_path)


@pytest.mark.parametrize(
    ("place", "owner", "private"),
    [("home", OTHER, True), ("elsewhere", ME, True), ("elsewhere", OTHER, False)],
)
def test_windows_caches_lie_at_home_or_are_the_users_own(
    place: str, owner: int, private: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Windows(owner))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delattr("os.getuid", raising=False)
    folder = tmp_path / place / "caches"
    if private:
        saved.make_folder(folder)
        assert folder.is_dir()
    else:
        with pytest.raises(OptionError, match=r"another user.*; name another$"):
            saved.make_folder(folder)


def test_a_user_without_a_home_has_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ownership, "is_owned", lambda _path: False)
    monkeypatch.setattr(Path, "home", homeless)
    assert ownership.why_not_private(tmp_path, tmp_path.stat()) == "it belongs to another user"
