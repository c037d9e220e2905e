"""A wheel for another system is the pure one, with a library and the tags of that system."""

from __future__ import annotations

import hashlib
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("wheel", reason="no wheel: `make wheels` installs it")

from wheel.wheelfile import WheelFile

from release.contents import problems_of_wheel
from release.targets import TARGETS
from release.wheels import add_library, date_record

ABOUT = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n\n"
GLIBC, WINDOWS = TARGETS[0], TARGETS[4]


@pytest.fixture
def pure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a wheel of one file, made in 2020."""
    path = tmp_path / "refact_edge-0.1.0-py3-none-any.whl"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    with WheelFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("refact_edge/__init__.py", "")
        wheel.writestr("refact_edge/quant/texts/calibration-set/runtime_native_edge.h", "")
        wheel.writestr("refact_edge-0.1.0.dist-info/WHEEL", ABOUT)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "_edge.so"
    path.write_bytes(b"kernels")
    return path


def test_the_wheel_says_for_which_systems_it_is(pure: Path, library: Path, tmp_path: Path) -> None:
    path = add_library(pure, library, GLIBC, tmp_path)
    tags = "manylinux_2_17_x86_64.manylinux2014_x86_64"
    assert path.name == f"refact_edge-0.1.0-py3-none-{tags}.whl"
    with WheelFile(path) as wheel:  # which compares with RECORD
        about = wheel.read("refact_edge-0.1.0.dist-info/WHEEL").decode()
        assert wheel.read("refact_edge/runtime/backends/native/_edge.so") == b"kernels"
        assert wheel.read("refact_edge/__init__.py") == b""
        mode = wheel.getinfo("refact_edge/runtime/backends/native/_edge.so").external_attr >> 16
    assert mode == 0o100755
    assert "Root-Is-Purelib: false" in about
    assert [line for line in about.splitlines() if line.startswith("Tag")] == [
        f"Tag: py3-none-{tag}" for tag in tags.split(".")
    ]


def test_the_same_files_give_the_same_wheel_at_another_time(
    pure: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = set()
    for day in (1, 2):
        (out := tmp_path / str(day)).mkdir()
        monkeypatch.setattr(time, "time", lambda day=day: 1.7e9 + 86400 * day)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # which is then put back
        date_record(pure)
        hashes.add(hashlib.sha256(add_library(pure, library, GLIBC, out).read_bytes()).digest())
    assert len(hashes) == 1


def test_a_wheel_with_another_systems_library_is_told(
    pure: Path, library: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lief", reason="no lief: `make wheels` installs it")
    path = add_library(pure, library, GLIBC, tmp_path)
    problems = list(problems_of_wheel(path, WINDOWS))
    assert any("its tags are py3-none-manylinux" in problem for problem in problems)
    assert any(
        "it holds refact_edge/runtime/backends/native/_edge.so" in problem for problem in problems
    )
    assert any(
        "it lacks refact_edge/runtime/backends/native/_edge.dll" in problem for problem in problems
    )
    assert not any("calibration-set" in problem for problem in problems)
