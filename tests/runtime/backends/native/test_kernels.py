"""Kernels and whole steps in C, compiled with sanitizers: every kernel beside the portable one."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kernels_built import KernelsBuilt

from refact_edge.runtime.backends.native.library import Native, opened

HERE = Path(__file__).parent
X86 = ["amx", "avx512vnni", "avxvnni", "avx2"]
CPUS = [*X86, "portable"]
KERNELS = (
    "layer_norm", "rms_norm", "round", "round_by_row", "product", "product_by_row", "pack",
    "attend_heads", "attend_keys", "gate", "rotate",
)  # fmt: skip
RELEASED = ("-fwrapv",)  # as Python's own flags have it, by which compilers vectorize otherwise
WARNINGS = "-g", "-O1", "-Wall", "-Wextra", "-Werror"


@pytest.fixture(scope="session")
def compiler() -> str:
    name = next((name for name in ("gcc", "cc") if shutil.which(name)), None)
    if name is None:
        pytest.skip("no GCC: install gcc")
    return name


@pytest.fixture(scope="session")
def built(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> KernelsBuilt:
    return KernelsBuilt(compiler, tmp_path_factory.mktemp("native"))


@pytest.fixture(params=CPUS)
def cpu(request: pytest.FixtureRequest, library: Native) -> str:
    name: str = request.param
    if name not in library.able:
        pytest.skip(f"this CPU cannot compute as {name}")
    return name


def _run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    arguments, environment = [str(part) for part in command], os.environ | variables
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)


def _on_all(
    library: Native, program: Path, *arguments: object
) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run a program as each kind of CPU that this one can be, as many at once as it has cores."""
    cpus = [cpu for cpu in CPUS if cpu in library.able]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        runs = threads.map(lambda cpu: _run(program, cpu, *arguments), cpus)
        return dict(zip(cpus, runs, strict=True))


def _check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("products\n")


@pytest.fixture(scope="session")
def sanitized(built: KernelsBuilt) -> Path:
    return built.program(HERE / "products.c", *_sanitizing("address,undefined"))


@pytest.fixture(scope="session")
def products(sanitized: Path, library: Native) -> dict[str, subprocess.CompletedProcess[str]]:
    return _on_all(library, sanitized)


def _sanitizing(sanitizers: str) -> tuple[str, ...]:
    if not os.environ.get("REFACT_EDGE_EVERY"):
        pytest.skip("sanitizers take three minutes: make native-sanitized runs them")
    return (*WARNINGS, f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all")


def test_products_have_the_bits_of_plain_c_and_are_within_the_bound_under_sanitizers(
    products: dict[str, subprocess.CompletedProcess[str]], cpu: str
) -> None:
    """Token counts to 32, odd widths, whole panels and others, extremes; codes at both ends."""
    _check(products[cpu])


def test_products_of_made_up_shapes_have_the_bits_of_plain_c_under_sanitizers(
    sanitized: Path, cpu: str
) -> None:
    _check(_run(sanitized, cpu, 1, 200))


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_kernel_computes_as_the_portable_one(
    built: KernelsBuilt, cpu: str, kernel: str
) -> None:
    program = built.program(HERE / "kernels.c", *_sanitizing("address,undefined"))
    done = _run(program, cpu, kernel, 1)
    assert (done.returncode, done.stdout) == (0, f"{cpu} {kernel}: 120 cases\n"), done.stderr


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_kernel_as_it_is_released_computes_as_the_portable_one(
    built: KernelsBuilt, cpu: str, kernel: str
) -> None:
    """Compilers vectorize at -O3 what they leave alone under sanitizers."""
    done = _run(built.program(HERE / "kernels.c", *RELEASED), cpu, kernel, 2)
    assert (done.returncode, done.stdout) == (0, f"{cpu} {kernel}: 120 cases\n"), done.stderr


# Fewer models where each takes long.
@pytest.mark.parametrize(
    ("sanitizer", "models"), [("address,undefined", 10), ("thread", 4), ("", 20)]
)
def test_whole_steps_of_odd_sizes_are_the_same_however_they_are_cut_and_on_all_x86(
    built: KernelsBuilt, library: Native, sanitizer: str, models: int
) -> None:
    flags = _sanitizing(sanitizer) if sanitizer else RELEASED
    program = built.program(HERE / "steps.c", *flags)
    logits = {}
    for cpu, done in _on_all(library, program, 1, models).items():
        assert done.returncode == 0, done.stdout + done.stderr
        count, _, logits[cpu] = done.stdout.partition(" models, logits ")
        assert count == str(models)
    assert len({text for cpu, text in logits.items() if cpu in X86}) <= 1, logits


@pytest.mark.parametrize(("sanitizer", "pairs"), [("thread", 6), ("", 20)])
def test_two_models_and_eight_threads_share_a_pool(
    built: KernelsBuilt, library: Native, sanitizer: str, pairs: int
) -> None:
    flags = _sanitizing(sanitizer) if sanitizer else RELEASED
    program = built.program(HERE / "steps.c", *flags)
    for cpu, done in _on_all(library, program, 3, pairs, "together").items():
        assert (done.returncode, done.stdout) == (0, f"{pairs} pairs\n"), f"{cpu}: {done.stderr}"


def test_programs_of_any_order_stay_in_their_memory_and_read_what_was_written(
    built: KernelsBuilt, cpu: str
) -> None:
    """Fresh memory is filled with bytes, on which no logits depend."""
    program = built.program(HERE / "orders.c", *_sanitizing("address,undefined"))

    def run(byte: int) -> subprocess.CompletedProcess[str]:
        options = f"max_malloc_fill_size={2**30}:malloc_fill_byte={byte}"
        return _run(program, cpu, 1, 40, ASAN_OPTIONS=options)

    outputs = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        runs = list(threads.map(run, (17, 190)))
    for done in runs:
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    counts = outputs[0].partition(" operations ")[2].partition(",")[0].split()
    assert min(map(int, counts)) >= 20  # of every kind


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["avx2", "portable"])  # what valgrind knows
def test_products_are_clean_under_valgrind(built: KernelsBuilt, cpu: str) -> None:
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind: install it to look for uninitialized memory")
    if cpu == "avx2" and "avx2" not in opened().able:
        pytest.skip("this CPU cannot compute as avx2")
    program = built.program(HERE / "products.c", "-g", "-O1")
    checked = "valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", program
    _check(_run(*checked, cpu, 1, 20))
