"""Drafts beside a file: whose they are, and what becomes of those nobody owns."""

import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.runtime.atomic import atomic_write, claimed, recover

HOLD = """
import sys
from pathlib import Path
from refact_edge.runtime.atomic import claimed
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
    monkeypatch.setattr("refact_edge.runtime.atomic._lock", lambda _: None)
    (tmp_path / ".bundle.partial-2.old").mkdir()
    recover(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
