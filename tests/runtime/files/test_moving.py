"""Renaming where Windows refuses it for a while, or for good."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refact_edge.runtime.files import moving


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have so many renamings be refused, as of a file that is in use; -1 for all."""
    left, rename = [0], Path.rename

    def refused(old: Path, new: Path) -> Path:
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "used by another process", str(old))
        return rename(old, new)

    monkeypatch.setattr(Path, "rename", refused)
    monkeypatch.setattr(moving, "sleep", lambda _s: None)
    return left


def test_windows_is_asked_again_until_nothing_uses_the_file(
    refusals: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    (tmp_path / "old").write_text("text")
    refusals[0] = 3
    moving.rename(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_after_some_seconds_it_says_what_to_do(
    refusals: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(moving, "perf_counter", iter([0.0, 1.0, 4.9, 5.0]).__next__)
    refusals[0] = -1
    with pytest.raises(moving.InUseError, match="another program uses it; end that"):
        moving.rename(tmp_path / "old", tmp_path / "new")
    assert refusals[0] == -4


def test_elsewhere_a_refusal_is_one_at_once(refusals: list[int], tmp_path: Path) -> None:
    refusals[0] = -1
    with pytest.raises(PermissionError, match="used by another process"):
        moving.rename(tmp_path / "old", tmp_path / "new")
    assert refusals[0] == -2
