"""Drafts beside a file: whose they are, and what becomes of those nobody owns."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.runtime.files import atomic_write as atomic
from refact_edge.runtime.files.atomic_write import atomic_write, claimed, recover, sync

if sys.platform != "win32":
    import fcntl

HOLD = """
import sys
from pathlib import Path
from refact_edge.runtime.files.atomic_write import claimed
with claimed(Path(sys.argv[1])) as stem:
    stem.mkdir()
    (stem / "piece").write_text("half")
    print("now", flush=True)
    sys.stdin.read()
"""


def test_a_file_is_replaced_whole_and_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("old")
    with atomic_write(file) as draft:
        draft.write_text("new")
        assert draft.suffix == ".html"
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def _write_half(draft: Path) -> None:
    draft.write_text("half")
    raise KeyboardInterrupt


def test_a_file_stays_as_it_was_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(file) as draft:
        _write_half(draft)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["bundle", "a[b]*", "a.partial-1"])
def test_a_running_writer_keeps_its_draft_and_a_dead_one_does_not(
    name: str, tmp_path: Path
) -> None:
    if sys.platform == "win32":
        pytest.skip("without locks nobody can tell them apart")
    target = tmp_path / name
    command = [sys.executable, "-c", HOLD, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        recover(target)
        assert [path.read_text() for path in tmp_path.glob("*/piece")] == ["half"]
        process.kill()
    recover(target)
    assert list(tmp_path.iterdir()) == []


def test_remains_named_by_a_process_that_lives_are_removed(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("without locks nobody can tell them apart")
    (tmp_path / ".bundle.partial-1").mkdir()  # process 1 always runs
    with claimed(tmp_path / "bundle"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_another_target_left_is_not_touched(tmp_path: Path) -> None:
    others = [".bundle.partial-1.partial-2.old", ".bundle2.partial-1", ".bundle.partial-notes"]
    for name in others:
        (tmp_path / name).mkdir()
    recover(tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_what_was_moved_aside_is_put_back_without_locks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refact_edge.runtime.files.atomic_write._lock", lambda _: None)
    (tmp_path / ".bundle.partial-2.old").mkdir()
    recover(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


class FileLocks:
    """The module msvcrt of Windows, as far as it locks bytes of files."""

    LK_NBLCK = 2

    def locking(self, handle: int, mode: int, count: int) -> None:
        assert (mode, count) == (self.LK_NBLCK, 1)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(errno.EACCES, "locked") from error


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl", reason="simulates the locks of Windows by those of POSIX")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(atomic, "msvcrt", FileLocks(), raising=False)


@pytest.mark.usefixtures("windows")
def test_on_windows_too_a_lock_tells_a_running_writer_from_a_dead_one(tmp_path: Path) -> None:
    target, dead = tmp_path / "bundle", tmp_path / ".bundle.partial-1"
    dead.mkdir()
    with claimed(target) as stem:
        stem.mkdir()
        assert not dead.exists()
        recover(target)
        assert stem.exists()
        assert stem.with_name(f"{stem.name}.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_macos_is_told_to_write_through_the_disks_own_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    calls: list[object] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _handle, order: calls.append(order))
    monkeypatch.setattr(os, "fsync", lambda _handle: calls.append("fsync"))
    (tmp_path / "file").write_text("text")
    sync(tmp_path / "file")
    assert calls == [51]

    def unknown(handle: int, order: int) -> None:
        raise OSError(errno.ENOTSUP, "a network disk")

    monkeypatch.setattr(fcntl, "fcntl", unknown)
    sync(tmp_path / "file")
    assert calls == [51, "fsync"]
