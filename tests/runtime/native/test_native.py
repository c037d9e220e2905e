"""The native step: its products against plain sums, and the whole of it against onnxruntime."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import refact_edge
from refact_edge.runtime.bundle import Bundle, read_bundle
from refact_edge.runtime.errors import BundleError, OptionError
from refact_edge.runtime.native.session import NativeSession, alibi_slopes

SOURCES = Path(__file__).parents[3] / "runtime" / "native"
FLAGS = ["-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
CPUS = ["avx2", "portable"]


@pytest.fixture(scope="session")
def compiler() -> str:
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if found is None:
        pytest.skip("no C compiler: install gcc or clang")
    return found


@pytest.fixture(scope="session")
def library(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("native") / "_edge.so"
    command = [compiler, *FLAGS, "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", made]
    subprocess.run([*command, *SOURCES.glob("*.c"), "-lm", "-lpthread"], check=True)
    return made


@pytest.fixture(scope="session")
def bundle(demo_bundle: Path) -> Bundle:
    return read_bundle(demo_bundle)


@pytest.fixture(params=CPUS)
def native(request: pytest.FixtureRequest, bundle: Bundle, library: Path) -> NativeSession:
    try:
        return NativeSession(bundle, threads=2, cpu=request.param, library=library)
    except OptionError as error:
        pytest.skip(str(error))


def _ids(bundle: Bundle, count: int, seed: int = 0) -> np.ndarray:
    model = refact_edge.load(bundle.path, variant="int4", hashes=False)
    text = Path(__file__).read_text(encoding="utf-8")
    return np.array(model.tokens.encode(text)[seed : seed + count])


@pytest.mark.parametrize("cpu", CPUS)
def test_products_are_within_the_rounding_bound_under_sanitizers(
    compiler: str, cpu: str, tmp_path: Path
) -> None:
    """All row counts to 10, odd widths, zeros, extremes, denormals; codes at both ends."""
    if cpu == "avx2" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no AVX2")
    program = tmp_path / "products"
    files = [Path(__file__).parent / "products.c", *SOURCES.glob("*.c")]
    command = [compiler, *FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [f"-I{SOURCES}", "-o", str(program), *map(str, files), "-lm", "-lpthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program, cpu], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("products\n")


def test_logits_are_onnxruntimes_but_for_rounded_last_digits(
    native: NativeSession, bundle: Bundle
) -> None:
    """Onnxruntime's own differ as much between tokens at once and one by one."""
    session = refact_edge.load(bundle.path, variant="int4", hashes=False).session
    ids = _ids(bundle, 60)
    at_once = session.step(ids, session.new_cache(), len(ids))
    cache = session.new_cache()
    alone = np.concatenate([session.step(ids[i : i + 1], cache) for i in range(len(ids))])
    mine = native.step(ids, native.new_cache(), len(ids))
    theirs = np.abs(at_once - alone).max()
    assert np.abs(mine - alone).max() <= max(2 * theirs, 1e-3)
    assert (mine.argmax(1) == alone.argmax(1)).mean() > 0.95


def test_every_chunking_gives_the_same_to_the_last_bit(
    native: NativeSession, bundle: Bundle
) -> None:
    ids = _ids(bundle, 50)
    whole = native.step(ids, native.new_cache(), len(ids))
    for sizes in ([1] * 50, [7, 20, 3, 20], [49, 1], [2, 16, 32]):
        cache, parts, at = native.new_cache(), [], 0
        for size in sizes:
            parts.append(native.step(ids[at : at + size], cache, size))
            at += size
        assert np.array_equal(np.concatenate(parts), whole), sizes


def test_any_number_of_threads_gives_the_same(bundle: Bundle, library: Path) -> None:
    ids = _ids(bundle, 40)
    found = []
    for threads in (1, 2, 5):
        native = NativeSession(bundle, threads=threads, library=library)
        found.append(native.step(ids, native.new_cache(), 3))
        native.close()
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_rewound_cache_is_gone_on_from(native: NativeSession, bundle: Bundle) -> None:
    ids = _ids(bundle, 30)
    cache = native.new_cache()
    native.step(ids, cache)
    cache.rewind(10)
    again = native.step(ids[10:], cache)
    assert np.array_equal(again, native.step(ids, native.new_cache()))


def test_another_graph_is_refused(tiny_bundle: Path, library: Path) -> None:
    with pytest.raises(BundleError, match="it runs on onnxruntime only"):
        NativeSession(read_bundle(tiny_bundle), library=library)


def test_ids_that_are_none_and_missing_libraries_are_told(
    native: NativeSession, bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="expected some from 0"):
        native.step(np.array([10**9]), native.new_cache())
    with pytest.raises(ValueError, match="keep 2 of 1"):
        native.step(np.array([1]), native.new_cache(), 2)
    with pytest.raises(OptionError, match="make native"):
        NativeSession(bundle, library=tmp_path / "_edge.so")


def test_slopes_are_those_of_the_graph() -> None:
    assert alibi_slopes(4) == [0.25, 0.0625, 0.015625, 0.00390625]
    assert np.allclose(alibi_slopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125])
