"""Local copies of variants that open at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from systems import needs_modes

import refact_edge
from refact_edge.runtime.backends.onnxruntime import (
    PREPACKED_WEIGHTS,
    OnnxruntimeSession,
    SessionOptions,
    import_onnxruntime,
)
from refact_edge.runtime.bundle.contract import Bundle, read_bundle, weights_file
from refact_edge.runtime.bundle.verified import VerifiedGraph
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.engine.disk_cache import maker_of
from refact_edge.runtime.errors import BundleError, RefactEdgeWarning
from refact_edge.runtime.files import state as filestate
from refact_edge.runtime.files.sha256 import file_sha256
from refact_edge.runtime.store import folder as cachefolder
from refact_edge.runtime.store import hash_notes, prepack


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cachefolder.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(demo_bundle: Path) -> Bundle:
    return read_bundle(demo_bundle)


def _logits(bundle: Bundle, variant: str, *, prepacked: bool = True) -> np.ndarray:
    model = refact_edge.load(
        bundle.path, variant=variant, engine="onnxruntime", prepacked=prepacked
    )
    session = model.session
    cache = session.new_cache()
    ids = np.arange(1, 41, dtype=np.int64)
    return np.concatenate([session.step(ids, cache, 40), session.step(ids[:1], cache)])


@pytest.mark.parametrize("variant", ["int4", "int8", "fp32"])
def test_a_copy_gives_the_very_same_logits(bundle: Bundle, variant: str) -> None:
    before = _logits(bundle, variant)
    prepack.make(bundle, variant)
    assert prepack.find(bundle, variant) is not None
    assert np.array_equal(_logits(bundle, variant), before)


def test_a_copy_is_what_is_opened_unless_told_otherwise(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    from refact_edge.runtime.opening import open as opening

    def watching(graph: VerifiedGraph, options: SessionOptions) -> OnnxruntimeSession:
        opened.append(graph.graph_file)
        return OnnxruntimeSession(graph, options)

    monkeypatch.setattr(opening, "OnnxruntimeSession", watching)
    copy = prepack.make(bundle, "int4") / prepack.GRAPH
    refact_edge.load(bundle.path, engine="onnxruntime")
    refact_edge.load(bundle.path, engine="onnxruntime", prepacked=False)
    refact_edge.load(bundle.path, variant="int8", engine="onnxruntime")
    inside = bundle.path / "onnx"
    assert opened == [copy, inside / "engine_q4.onnx", inside / "engine_int8.onnx"]


def test_making_it_again_keeps_it_and_replaces_one_for_another_onnxruntime(
    bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepack.make(bundle, "int4")
    made = (first / PREPACKED_WEIGHTS).stat().st_mtime_ns
    assert prepack.make(bundle, "int4") == first
    assert (first / PREPACKED_WEIGHTS).stat().st_mtime_ns == made
    monkeypatch.setattr(import_onnxruntime(), "__version__", "9.9")
    assert prepack.find(bundle, "int4") is None
    second = prepack.make(bundle, "int4")
    assert [file.name for file in cache.iterdir()] == [second.name]


def test_another_cpu_finds_none(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    prepack.make(bundle, "int4")
    monkeypatch.setattr(prepack, "cpu_name_and_features", lambda: ("another", ["avx2"]))
    assert prepack.find(bundle, "int4") is None


def _overwrite_half(file: Path) -> None:
    """Write into the middle of a file and put its mtime back."""
    state = file.stat()
    with file.open("r+b") as stream:
        stream.seek(state.st_size // 4)
        stream.write(np.random.default_rng(0).bytes(state.st_size // 2))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


@needs_modes
@pytest.mark.parametrize("damage", ["cut", "middle", "graph", "record", "writable", "link"])
def test_a_copy_that_is_not_whole_or_not_ones_own_is_not_opened(
    bundle: Bundle, damage: str
) -> None:
    folder = prepack.make(bundle, "int4")
    weights = folder / PREPACKED_WEIGHTS
    if damage == "cut":
        os.truncate(weights, weights.stat().st_size // 2)
    elif damage == "middle":
        _overwrite_half(weights)
    elif damage == "graph":
        (folder / prepack.GRAPH).write_bytes(b"other")
    elif damage == "link":
        weights.rename(weights.with_suffix(".other"))
        weights.symlink_to(weights.with_suffix(".other"))
    elif damage == "record":
        (folder / cachefolder.RECORD).write_text("{")
    elif os.name == "posix":
        folder.chmod(0o777)
    else:
        pytest.skip("folders have no such permissions on this system")
    before = _logits(bundle, "int4", prepacked=False)
    with pytest.warns(RefactEdgeWarning, match="is not used: .*; make it anew with.* --engine"):
        assert np.array_equal(_logits(bundle, "int4"), before)
    prepack.make(bundle, "int4")
    assert prepack.find(bundle, "int4") is not None


def test_an_unchanged_copy_is_not_hashed_and_a_touched_one_only_once(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepack.make(bundle, "int8")
    hashed: list[str] = []

    def watching(path: Path) -> str:
        hashed.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(filestate, "file_sha256", watching)
    assert prepack.find(bundle, "int8") is not None
    assert hashed == []
    (folder / PREPACKED_WEIGHTS).touch()
    assert prepack.find(bundle, "int8") is not None
    assert prepack.find(bundle, "int8") is not None
    assert hashed == [PREPACKED_WEIGHTS]


def _copys_line(bundle: Bundle) -> tuple[str, str]:
    (line,) = [one for one in examine(bundle.path) if one.subject == "  int8, warm's copy"]
    return line.state, line.problem


def test_the_doctor_hashes_a_copy_and_making_it_again_mends_what_a_disk_forgot(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [one for one in examine(bundle.path) if "copy" in one.subject]
    weights = prepack.make(bundle, "int8") / PREPACKED_WEIGHTS
    assert _copys_line(bundle) == (f"unchanged since warm made it, in {weights.parent}", "")
    state = filestate.state_of(weights)
    _overwrite_half(weights)
    with monkeypatch.context() as patch:  # nobody has written to it, as it seems
        patch.setattr(filestate, "state_of", lambda _: state)
        assert prepack.find(bundle, "int8") is not None
        said = _copys_line(bundle)
        prepack.make(bundle, "int8")
    assert said[0] == "unusable"
    assert "weights.bin was altered since it was made; make it anew with: refact-edge" in said[1]
    assert _copys_line(bundle)[1] == ""


def test_a_manifest_without_hashes_is_no_traceback(bundle: Bundle) -> None:
    name = weights_file("int8")
    entry = {key: value for key, value in bundle.files[name].items() if key != "sha256"}
    for files in (bundle.files | {name: entry}, {}):
        lacking = replace(bundle, files=files)
        for ask in (
            lambda one: prepack.find(one, "int8"),
            lambda one: prepack.make(one, "int8"),
            lambda one: maker_of(one, ["int8"], "native", "fp32"),
            lambda one: hash_notes.note(one, "int8"),
        ):
            with pytest.raises(BundleError, match=r"manifest|altered"):
                ask(lacking)


def test_what_onnxruntime_cannot_open_is_left_for_the_bundle_with_a_warning(
    bundle: Bundle,
) -> None:
    folder = prepack.make(bundle, "int4")
    (folder / prepack.GRAPH).write_bytes(b"no graph")
    record = cachefolder.read_record(folder)
    note = filestate.hash_note(folder / prepack.GRAPH)
    record["files"][prepack.GRAPH] = filestate.as_json(note)
    cachefolder.write_record(folder, record)
    with pytest.warns(RefactEdgeWarning, match="not using a prepacked copy: .*cannot be opened"):
        refact_edge.load(bundle.path, engine="onnxruntime")


def test_two_processes_make_it_at_once(bundle: Bundle, cache: Path) -> None:
    command = [sys.executable, "-m", "refact_edge.runtime", "warm", str(bundle.path)]
    command += ["--engine", "onnxruntime"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, complaints = process.communicate(timeout=60)
        assert (process.returncode, complaints) == (0, b"")
    assert len(list(cache.iterdir())) == 1
    assert prepack.find(bundle, "int4") is not None


def test_a_damaged_bundle_is_not_copied_and_a_failure_leaves_nothing(
    demo_bundle: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(demo_bundle, copy)
    bundle = read_bundle(copy)
    monkeypatch.setattr(prepack, "_write", _disk_full)
    with pytest.raises(BundleError, match="cannot be written: No space left"):
        prepack.make(bundle, "int4")
    monkeypatch.undo()
    monkeypatch.setenv(cachefolder.ENVIRONMENT, str(cache))
    weights = copy / weights_file("int4")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="was altered"):
        prepack.make(bundle, "int4")
    assert list(cache.iterdir()) == []


def _disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_too_little_room_is_said_beforehand(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BundleError, match="has 1 MB free and the copy takes about 10"):
        prepack.make(bundle, "int4")


def test_clearing_removes_copies_and_nothing_else(bundle: Bundle, cache: Path) -> None:
    folder = prepack.make(bundle, "int4")
    other = cache / "mine"
    other.mkdir()
    (other / cachefolder.RECORD).write_text("{}")
    unfinished = cache / f".{folder.name}.partial-12345"
    unfinished.mkdir()
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert cachefolder.clear() == size
    assert list(cache.iterdir()) == [other]


def test_a_cache_folder_that_cannot_be_had_is_no_hindrance(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", forbidden)
        assert prepack.find(bundle, "int8") is None
    if os.name != "posix":
        return
    monkeypatch.delenv(cachefolder.ENVIRONMENT)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", _no_home)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert prepack.find(bundle, "int8") is None
    assert prepack.make(bundle, "int8").parent == tmp_path / f"refact-edge-{os.getuid()}"


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_the_command_makes_both_of_a_hybrids(demo_bundle: Path, cache: Path) -> None:
    command = [sys.executable, "-m", "refact_edge.runtime", "warm", str(demo_bundle)]
    hybrid = ["--variant", "hybrid", "--engine", "onnxruntime"]
    done = subprocess.run([*command, *hybrid], capture_output=True, text=True)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["int8", "int4"]
    assert len(list(cache.iterdir())) == 2
    cleared = subprocess.run([*command, "--clear"], capture_output=True, text=True)
    assert cleared.stdout.endswith("MB freed\n")
    assert list(cache.iterdir()) == []
