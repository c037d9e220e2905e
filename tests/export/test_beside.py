"""Replacing a folder: whole at every moment, whatever kills the process, and on the disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.export import beside as module
from refact_edge.export.beside import beside
from refact_edge.export.exchange import exchange
from refact_edge.runtime.errors import ExportError
from refact_edge.runtime.files.moving import InUseError

# Kills a process that replaces a folder before its first step on files, then one before its
# second, and so on until one comes through; prints what stood there after each, what after the
# next start, and what is left after the next replacement.
KILLED_AT_EACH_STEP = """
import json, os, signal, sys
from pathlib import Path
from refact_edge.export import beside as module
from refact_edge.runtime.files.atomic_write import recover

folder, exchanging = Path(sys.argv[1]), sys.argv[2] == "exchange"
target = folder / "bundle"
STEPS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.listdir",
         "os.scandir", "shutil.rmtree"}
if not exchanging:
    module.exchange = lambda *_: False

def write(text):
    with module.beside(target) as work:
        (work / "onnx").mkdir()
        for name in ("a", "onnx/b"):
            (work / name).write_text(text)

def read():
    try:
        texts = {(target / name).read_text() for name in ("a", "onnx/b")}
    except OSError:
        return None
    return texts.pop() if len(texts) == 1 else "mixed"

def kill_at(step):
    steps = iter(range(step))
    def hook(event, arguments):
        if event in STEPS and next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

rows = []
while True:
    write("old")
    if not (child := os.fork()):
        kill_at(len(rows))
        write("new")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    at_once = read()
    recover(target)
    started = read()
    write("next")
    rows.append([at_once, started, read(), sorted(os.listdir(folder))])
    if status == 0:
        break
print(json.dumps(rows))
"""


def _rows(folder: Path, way: str) -> list[list[object]]:
    command = [sys.executable, "-c", KILLED_AT_EACH_STEP, str(folder), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[list[object]] = json.loads(done.stdout)
    return rows


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_wherever_a_replacement_is_killed_the_next_start_has_a_whole_folder_and_no_remains(
    way: str, tmp_path: Path
) -> None:
    rows = _rows(tmp_path, way)
    assert len(rows) > 15
    assert rows[-1][0] == "new"
    for at_once, started, replaced, names in rows:
        assert started in ("old", "new")
        assert at_once == started or (way == "two renames" and at_once is None)
        assert (replaced, names) == ("next", ["bundle"])


def _can_exchange(folder: Path) -> bool:
    for name in ("one", "other"):
        (folder / name).mkdir()
    return exchange(folder / "one", folder / "other")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_where_names_can_be_exchanged_there_is_no_moment_without_the_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "probe").mkdir()
    if not _can_exchange(tmp_path / "probe"):
        pytest.skip("this system or disk does not exchange names")
    (tmp_path / "place").mkdir()
    assert {row[0] for row in _rows(tmp_path / "place", "exchange")} == {"old", "new"}


def test_an_exchange_that_cannot_be_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert not exchange(tmp_path / "one", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_all_is_on_the_disk_before_it_has_the_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    name_of: dict[int, str] = {}  # by inode

    def noted(handle: int) -> None:
        steps.append(name_of[os.fstat(handle).st_ino])

    def exchanged(one: Path, other: Path) -> bool:
        steps.append("exchange")
        return exchange(one, other)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(module, "exchange", exchanged)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").write_text("old")
    with beside(tmp_path / "bundle") as work:
        (work / "onnx").mkdir()
        for name in ("a", "onnx/b"):
            (work / name).write_text(name)
        for path in (tmp_path, work, *work.rglob("*")):
            name_of[path.stat().st_ino] = path.name.split("-")[0]
    place, folder = tmp_path.name.split("-")[0], ".bundle.partial"
    at = steps.index("exchange")
    assert sorted(steps[:at]) == sorted(["a", "b", "onnx", folder])
    assert steps[at - 1] == folder
    assert steps[at + 1 :] == [place]


def test_a_bundle_that_windows_holds_in_use_stays_and_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "a").write_text("old")

    def refused(old: Path, new: Path) -> None:
        if old == target:
            raise InUseError(13, "in use")
        old.rename(new)

    monkeypatch.setattr(module, "exchange", lambda *_: False)
    monkeypatch.setattr(module, "rename", refused)
    with (
        pytest.raises(ExportError, match="another program uses it; end that"),
        beside(target) as work,
    ):
        (work / "a").write_text("new")
    assert (target / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
