"""ARM's kernels in an emulator: products, whole steps, and the same bits as on x86."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from refact_edge.runtime.backends.native.library import LIBRARY, opened

HERE = Path(__file__).parent
SOURCES = HERE.parents[3] / "runtime" / "backends" / "native"
FLAGS = ["-O1", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
CROSS, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
KINDS = ["i8mm", "neon"]


def _compile(compiler: str, folder: Path, *words: object) -> None:
    command = [compiler, *FLAGS, *WARNINGS, f"-I{SOURCES}", *map(str, words)]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


def _run(*command: object, code: int = 0) -> str:
    """Run a program and return what it prints."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the test programs, for ARM."""
    if not (shutil.which(CROSS) and shutil.which(EMULATOR)):
        pytest.skip("no ARM: install gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user")
    folder = tmp_path_factory.mktemp("arm")
    _compile(CROSS, folder, "-c", *SOURCES.rglob("*.c"))
    kernels = list(folder.glob("*.o"))
    for name in ("products", "steps", "bits", "kernels"):
        files = [HERE / f"{name}.c", *kernels]
        _compile(CROSS, folder, *files, "-o", name, "-static", "-lm", "-lpthread")
    return folder


@pytest.mark.parametrize("cpu", KINDS)
def test_products_are_within_the_rounding_bound(cpu: str, programs: Path) -> None:
    out = _run(EMULATOR, "-cpu", "max", programs / "products", cpu, 1, 40)
    assert out == "40 products\n"


@pytest.mark.parametrize("cpu", KINDS)
def test_whole_steps_are_the_same_however_they_are_cut(cpu: str, programs: Path) -> None:
    out = _run(EMULATOR, "-cpu", "max", programs / "steps", cpu, 1, 4)
    assert out.startswith("4 models, logits ")


@pytest.mark.parametrize("kernel", ["pack", "attend_heads", "attend_keys"])
@pytest.mark.parametrize("cpu", KINDS)
def test_caches_of_all_types_are_the_portable_kinds(cpu: str, kernel: str, programs: Path) -> None:
    out = _run(EMULATOR, "-cpu", "max", programs / "kernels", cpu, kernel, 1)
    assert out == f"{cpu} {kernel}: 120 cases\n"


@pytest.mark.parametrize("cpu", KINDS)
def test_a_cpu_without_dot_products_is_refused(cpu: str, programs: Path) -> None:
    """A Cortex-A72 has neither kind's instructions."""
    assert _run(EMULATOR, "-cpu", "cortex-a72", programs / "bits", cpu, code=1) == ""


@pytest.fixture(scope="module")
def bits_of_avx2(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what `bits` prints with this installation's kernels for AVX2."""
    if "avx2" not in opened().able or not shutil.which("gcc"):
        pytest.skip("no AVX2 here, or no GCC to compile for it")
    folder = tmp_path_factory.mktemp("x86")
    link = LIBRARY, f"-Wl,-rpath,{LIBRARY.parent}", "-lm"
    _compile("gcc", folder, HERE / "bits.c", "-o", "bits", *link)
    return _run(folder / "bits", "avx2")


@pytest.mark.parametrize("cpu", KINDS)
def test_products_have_the_bits_of_avx2_for_any_number_of_tokens(
    cpu: str, programs: Path, bits_of_avx2: str
) -> None:
    assert len(bits_of_avx2.splitlines()) == 28
    assert _run(EMULATOR, "-cpu", "max", programs / "bits", cpu) == bits_of_avx2
