"""Where the cache folder is, on each system and for users without a home."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from refact_edge.runtime.store.folder import ENVIRONMENT, cache_folder

VARIABLES = (ENVIRONMENT, "LOCALAPPDATA", "XDG_CACHE_HOME")


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a home, and no variable that names another folder."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


@pytest.mark.parametrize(
    ("system", "place"),
    [
        ("linux", ".cache/refact-edge"),
        ("darwin", "Library/Caches/refact-edge"),
        ("win32", "AppData/Local/refact-edge"),
    ],
)
def test_it_lies_where_the_system_has_such_folders(
    system: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert cache_folder() == tmp_path / place


def test_windows_local_folder_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "D:/local")
    assert cache_folder() == Path("D:/local/refact-edge")


def test_a_windows_user_without_a_home_gets_one_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(os, "getuid", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache_folder() == tmp_path / "refact-edge"
