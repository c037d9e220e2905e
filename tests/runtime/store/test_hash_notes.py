"""Notes that a file was hashed: whatever changes the file makes them void."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from systems import needs_modes

import refact_edge
from refact_edge.runtime.bundle import verified
from refact_edge.runtime.bundle.contract import Bundle, read_bundle, weights_file
from refact_edge.runtime.errors import BundleError
from refact_edge.runtime.files import state as filestate
from refact_edge.runtime.files.sha256 import file_sha256
from refact_edge.runtime.opening.machine import why_not_native
from refact_edge.runtime.store import folder as cachefolder
from refact_edge.runtime.store import hash_notes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cachefolder.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(bundle_copy: Path) -> Bundle:
    return read_bundle(bundle_copy)


def test_a_noted_file_is_not_hashed_again_and_all_others_are(
    bundle: Bundle, hashed: list[str]
) -> None:
    if reason := why_not_native():
        pytest.skip(reason)
    weights = Path(weights_file("int4")).name
    refact_edge.load(bundle.path, variant="int4")
    assert hashed.count(weights) == 1
    hash_notes.note(bundle, "int4")
    assert hashed.count(weights) == 2
    hashed.clear()
    refact_edge.load(bundle.path, variant="int4")
    assert sorted(hashed) == ["engine_q4.onnx", "tokenizer.json"]
    refact_edge.load(bundle.path, variant="int4", prepacked=False)
    assert hashed.count(weights) == 1


@pytest.mark.parametrize("change", ["touched", "replaced", "another device number"])
def test_what_changed_since_is_hashed_once_more_and_noted_again(
    bundle: Bundle, change: str, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_notes.note(bundle, "int4")
    weights = bundle.path / weights_file("int4")
    if change == "touched":
        weights.touch()
    elif change == "replaced":
        shutil.copy2(weights, tmp_path / "other")
        (tmp_path / "other").replace(weights)
    else:  # as some file systems have after every start of the machine
        real = filestate.state_of
        monkeypatch.setattr(filestate, "state_of", lambda file: (99, *real(file)[1:]))
    hashed.clear()
    assert hash_notes.is_noted(bundle, "int4")
    assert hashed == [weights.name]
    assert hash_notes.is_noted(bundle, "int4")
    assert hashed == [weights.name]


@needs_modes
@pytest.mark.parametrize("change", ["writable", "record", "no object", "no note", "no record"])
def test_a_note_that_cannot_be_relied_on_is_none(bundle: Bundle, change: str) -> None:
    record = hash_notes.note(bundle, "int4")
    if change == "writable":
        if os.name != "posix":
            pytest.skip("folders have no such permissions on this system")
        record.parent.chmod(0o777)
    elif change == "no record":
        record.unlink()
    else:
        record.write_text({"record": "{", "no object": "[]", "no note": '{"note": [1]}'}[change])
    assert not hash_notes.is_noted(bundle, "int4")
    hash_notes.note(bundle, "int4")
    assert hash_notes.is_noted(bundle, "int4")


def test_other_content_is_refused_although_its_mtime_was_put_back(bundle: Bundle) -> None:
    hash_notes.note(bundle, "int4")
    weights = bundle.path / weights_file("int4")
    state = weights.stat()
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))  # only its ctime tells
    assert not hash_notes.is_noted(bundle, "int4")
    with pytest.raises(BundleError, match="was altered"):
        refact_edge.load(bundle.path, variant="int4")


def test_a_file_that_is_written_while_it_is_hashed_is_not_noted(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = bundle.path / weights_file("int4")

    def writing(path: Path) -> str:
        digest = file_sha256(path)
        if path == weights:
            weights.write_bytes(weights.read_bytes()[:-1] + b"!")
        return digest

    monkeypatch.setattr(verified, "file_sha256", writing)
    hash_notes.note(bundle, "int4")
    assert not hash_notes.is_noted(bundle, "int4")


def test_a_write_right_after_the_hashing_changes_the_state(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"1", b"2", b"3"):
        file.write_bytes(b"0")
        state = filestate.settled_state_of(file)
        file.write_bytes(content)
        assert filestate.state_of(file) != state


def test_a_damaged_bundle_is_not_noted_and_clearing_forgets(bundle: Bundle, cache: Path) -> None:
    hash_notes.note(bundle, "int4")
    assert cachefolder.clear() > 0
    assert not hash_notes.is_noted(bundle, "int4")
    weights = bundle.path / weights_file("int4")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="was altered"):
        hash_notes.note(bundle, "int4")
    assert list(cache.iterdir()) == []


def test_where_nothing_can_be_written_is_told(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cachefolder.ENVIRONMENT, str(tmp_path / "file" / "in"))
    with pytest.raises(BundleError, match=r"cannot be written: .*name another folder in REFACT"):
        hash_notes.note(bundle, "int4")


def test_the_command_notes_for_the_native_kernels_and_refuses_what_cannot_be(
    bundle: Bundle, cache: Path
) -> None:
    def warm(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "refact_edge.runtime", "warm", str(bundle.path), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    assert warm("--engine", "gpu") == (
        1, "error: engine 'gpu'; expected one of auto, native, onnxruntime"
    )  # fmt: skip
    code, said = warm("--variant", "fp32", "--engine", "native")
    assert (code, "kernels compute int4 and int8, not fp32; take one of" in said) == (1, True)
    if reason := why_not_native():
        pytest.skip(reason)
    code, said = warm()
    assert (code, said.startswith(f"int4: weights are hashed; the note is in {cache}")) == (0, True)
    assert hash_notes.is_noted(bundle, "int4")
