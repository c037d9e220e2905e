"""What the library says of the machine, here and in emulators, beside what the system says."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "runtime" / "backends" / "native"
FLAGS = ["-O1", "-std=c11", "-Wall", "-Wextra", "-Werror"]
# By Linux's names, as the library writes them.
X86 = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8",
    "amx_bf16",
)  # fmt: skip


def _built(program: Path, *compiler: str) -> Path:
    files = [Path(__file__).parent / "machine.c", SOURCES / "machine.c"]
    command = [*compiler, *FLAGS, f"-I{SOURCES}", "-o", str(program), *map(str, files), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return program


def _said(*command: object, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def _require(*programs: str, install: str) -> None:
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"no {' and no '.join(missing)}: install {install}")


def _check_state(said: dict[str, str]) -> None:
    """Numbers next to zero are zeros only while they are flushed, and the state comes back."""
    assert said["zeros"] == "010 changed=1 given_back=1"


def _cpuinfo(key: str) -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(key))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    _require("gcc", install="gcc")
    return _said(_built(tmp_path_factory.mktemp("machine") / "machine", "gcc"))


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="compares with /proc/cpuinfo"
)
def test_name_and_features_are_those_that_linux_reads(here: dict[str, str]) -> None:
    flags = _cpuinfo("flags").split()
    assert here["features"].split() == [name for name in X86 if name in flags]
    assert here["name"] == _cpuinfo("model name")
    assert here["four"] == here["name"][:3]
    assert len(here["narrow"]) < 8  # no name is cut in two
    assert set(here["narrow"].split()) <= set(here["features"].split())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the library knows")
def test_linux_cores_are_left_to_its_files(here: dict[str, str]) -> None:
    assert here["cores"] == "0"


def test_numbers_next_to_zero_are_flushed_and_the_state_is_given_back(
    here: dict[str, str],
) -> None:
    _check_state(here)


@pytest.fixture(scope="module")
def for_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cross = "aarch64-linux-gnu-gcc"
    _require(cross, "qemu-aarch64", install="gcc-aarch64-linux-gnu and qemu-user")
    return _built(tmp_path_factory.mktemp("machine") / "arm", cross, "-static")


@pytest.mark.parametrize(
    ("model", "features"), [("max", "asimd asimddp i8mm"), ("cortex-a72", "asimd")]
)
def test_arm_in_an_emulator_says_what_it_has(model: str, features: str, for_arm: Path) -> None:
    said = _said("qemu-aarch64", "-cpu", model, for_arm)
    assert (said["features"], said["cores"], said["name"]) == (features, "0", "")
    _check_state(said)


def test_windows_in_wine_counts_cores_and_says_the_same_of_the_cpu(
    here: dict[str, str], tmp_path: Path
) -> None:
    _require("wine", install="wine64")
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no compiler for Windows: pip install ziglang")
    compiler = (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu")
    program = _built(tmp_path / "machine.exe", *compiler)
    quiet = {"WINEDEBUG": "-all", "WINEPREFIX": str(tmp_path / "wine")}
    said = _said("wine", program, **quiet)
    assert 1 <= int(said["cores"]) <= (os.cpu_count() or 1)
    assert (said["name"], said["features"]) == (here["name"], here["features"])
    _check_state(said)
    bound = _said("taskset", "-c", "0", "wine", program, **quiet)
    assert bound["cores"] == "1"
