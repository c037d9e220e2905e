"""Long work that is broken off, and goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refact_edge.export.scratch import ENDING, Scratch, scratch
from refact_edge.runtime.errors import ExportError

HOLD = """
import sys
from pathlib import Path
from refact_edge.export.scratch import scratch
with scratch(Path(sys.argv[1]), {}):
    print("now", flush=True)
    sys.stdin.read()
"""


def _leave(target: Path, work: dict[str, object], error: type[BaseException]) -> None:
    with scratch(target, work) as folder:
        folder.inside("part").save("one", {"file": np.arange(3)})
        raise error


def test_what_was_broken_off_is_there_for_the_same_work(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _leave(tmp_path / "bundle", {"texts": 1}, KeyboardInterrupt)
    assert [path.name for path in tmp_path.iterdir()] == [f"bundle{ENDING}"]
    with scratch(tmp_path / "bundle", {"texts": 1}) as folder:
        assert "one" in folder.inside("part")
        np.testing.assert_array_equal(folder.inside("part").load("one")["file"], np.arange(3))
    assert not list(tmp_path.iterdir())


def test_other_work_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _leave(tmp_path / "bundle", {"texts": 1}, KeyboardInterrupt)
    with scratch(tmp_path / "bundle", {"texts": 2}) as folder:
        assert "one" not in folder.inside("part")


def test_nothing_is_left_when_something_goes_wrong(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _leave(tmp_path / "bundle", {}, RuntimeError)
    assert not list(tmp_path.iterdir())


def test_two_processes_never_share_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "bundle")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"now"
        with (
            pytest.raises(ExportError, match="is in use, by another export"),
            scratch(tmp_path / "bundle", {}),
        ):
            pass
        assert (tmp_path / f"bundle{ENDING}").exists()
        other.communicate()
    assert not list(tmp_path.iterdir())


def test_a_name_stands_for_whole_arrays(tmp_path: Path) -> None:
    folder = Scratch(tmp_path)
    (tmp_path / "draft.npz").write_bytes(b"half of it")  # of a process that was killed
    assert "a" not in folder
    folder.save("a", {"x": np.ones(2), "y": np.zeros(1)})
    assert sorted(folder.load("a")) == ["x", "y"]
    folder.drop("a")
    folder.drop("a")
    assert "a" not in folder
