"""The native step of a bundle, beside onnxruntime's, and however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refact_edge
from refact_edge.export import quality
from refact_edge.export.quality import default_data, measure_bundle
from refact_edge.runtime.backends.native.library import Native
from refact_edge.runtime.backends.native.selftest import computes_rightly
from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.bundle.contract import Bundle, read_bundle
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.errors import OptionError

X86 = ["amx", "avx512vnni", "avxvnni", "avx2"]
CPUS = [*X86, "portable"]
# What a kind needs, in Linux's words.
FEATURES = {
    "amx": {"amx_tile", "amx_int8", "avx512_vnni", "avx512bw", "avx512dq", "avx512vl", "avx2"},
    "avx512vnni": {"avx512_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2"},
    "avxvnni": {"avx_vnni", "avx2", "fma", "f16c"},
    "avx2": {"avx2", "fma", "f16c"},
    "i8mm": {"i8mm", "asimddp"},
    "neon": {"asimddp"},
}


@pytest.fixture(scope="session")
def bundle(demo_bundle: Path) -> Bundle:
    return read_bundle(demo_bundle)


@pytest.fixture(params=CPUS)
def cpu(request: pytest.FixtureRequest, library: Native) -> str:
    name: str = request.param
    if name not in library.able:
        pytest.skip(f"this CPU cannot compute as {name}")
    return name


@pytest.fixture
def native(cpu: str, bundle: Bundle, library: Native) -> NativeSession:
    return NativeSession(verify(bundle, "int4"), threads=2, cpu=cpu, native=library)


def _ids(bundle: Bundle, count: int, seed: int = 0) -> np.ndarray:
    model = refact_edge.load(bundle.path, variant="int4", hashes=False, engine="onnxruntime")
    text = Path(__file__).read_text(encoding="utf-8")
    return np.array(model.tokens.encode(text)[seed : seed + count])


def test_logits_are_onnxruntimes_but_for_rounded_last_digits(
    native: NativeSession, bundle: Bundle
) -> None:
    """Onnxruntime's own differ as much between tokens at once and one by one."""
    model = refact_edge.load(bundle.path, variant="int4", hashes=False, engine="onnxruntime")
    session = model.session
    ids = _ids(bundle, 60)
    at_once = session.step(ids, session.new_cache(), len(ids))
    cache = session.new_cache()
    alone = np.concatenate([session.step(ids[i : i + 1], cache) for i in range(len(ids))])
    mine = native.step(ids, native.new_cache(), len(ids))
    theirs = np.abs(at_once - alone).max()
    assert np.abs(mine - alone).max() <= max(2 * theirs, 1e-3)
    assert (mine.argmax(1) == alone.argmax(1)).mean() > 0.95


@pytest.mark.slow
def test_the_report_through_the_native_kernels_is_not_worse(
    demo_checkpoint: Path, bundle: Bundle, library: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runner(*_: object) -> Callable[[np.ndarray], np.ndarray]:
        session = NativeSession(verify(bundle, "int4"), threads=2, native=library)
        return lambda ids: session.step(np.asarray(ids), session.new_cache(), len(ids))

    data: dict[str, Any] = {"data": default_data(), "variants": ["int4"]}
    theirs = measure_bundle(demo_checkpoint, bundle.path, **data)["variants"]["int4"]
    monkeypatch.setattr(quality, "runner", runner)
    mine = measure_bundle(demo_checkpoint, bundle.path, **data)["variants"]["int4"]
    assert mine["mean_kl"] <= 1.03 * theirs["mean_kl"]
    assert mine["top1_agreement"] >= theirs["top1_agreement"] - 0.005


def test_every_chunking_gives_the_same_to_the_last_bit(
    native: NativeSession, bundle: Bundle
) -> None:
    ids = _ids(bundle, 50)
    whole = native.step(ids, native.new_cache(), len(ids))
    for sizes in ([1] * 50, [7, 20, 3, 20], [49, 1], [2, 16, 32], [3, 4, 5, 8, 9, 10, 11]):
        cache, parts, at = native.new_cache(), [], 0
        for size in sizes:
            parts.append(native.step(ids[at : at + size], cache, size))
            at += size
        assert np.array_equal(np.concatenate(parts), whole), sizes


def test_the_last_logits_alone_are_those_of_all(native: NativeSession, bundle: Bundle) -> None:
    ids = _ids(bundle, 40)
    whole = native.step(ids, native.new_cache(), 40)
    for keep in (1, 3, 8, 16, 17):
        assert np.array_equal(native.step(ids, native.new_cache(), keep), whole[-keep:]), keep


def test_any_number_of_threads_gives_the_same(bundle: Bundle, library: Native) -> None:
    ids = _ids(bundle, 40)
    logits = []
    for threads in (1, 2, 5):
        native = NativeSession(verify(bundle, "int4"), threads=threads, native=library)
        logits.append(native.step(ids, native.new_cache(), 3))
        native.close()
    assert np.array_equal(logits[0], logits[1])
    assert np.array_equal(logits[0], logits[2])


def test_a_rewound_cache_is_gone_on_from(native: NativeSession, bundle: Bundle) -> None:
    ids = _ids(bundle, 30)
    cache = native.new_cache()
    native.step(ids, cache)
    cache.rewind(10)
    again = native.step(ids[10:], cache)
    assert np.array_equal(again, native.step(ids, native.new_cache()))


def test_every_kind_of_x86_gives_the_same_logits_to_the_last_bit(
    bundle: Bundle, library: Native
) -> None:
    kinds = [name for name in library.able if name in X86]
    if len(kinds) < 2:
        pytest.skip(f"this CPU computes as {' and '.join(kinds) or 'no x86'} only")
    ids = _ids(bundle, 40)
    first, *others = (
        NativeSession(verify(bundle, "int4"), threads=2, cpu=name, native=library) for name in kinds
    )
    for count in (1, 2, 4, 5, 8, 9, 16, 17, 40):
        right = first.step(ids[:count], first.new_cache(), count)
        for other in others:
            assert np.array_equal(right, other.step(ids[:count], other.new_cache(), count)), count


def test_the_library_names_every_kind_that_linux_says_this_cpu_can(library: Native) -> None:
    """A runtime that answers no to every question once made each CPU `portable`, silently."""
    if not Path("/proc/cpuinfo").is_file():
        pytest.skip("the system tells no features of its CPU")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    features = next(set(line.split()) for line in lines if line.startswith(("flags", "Features")))
    able = [kind for kind, needs in FEATURES.items() if needs <= features]
    assert library.able == [*able, "portable"]


def test_short_last_blocks_and_odd_heads_are_computed(tiny_bundle: Path, cpu: str) -> None:
    bundle = read_bundle(tiny_bundle)
    theirs = refact_edge.load(tiny_bundle, variant="int4", engine="onnxruntime").session
    mine = NativeSession(verify(bundle, "int4"), threads=2, cpu=cpu)
    ids = np.arange(3, 43)
    right = theirs.step(ids, theirs.new_cache(), 40)
    logits = mine.step(ids, mine.new_cache(), 40)
    assert np.abs(logits - right).max() <= 0.02 * np.abs(right).max()
    assert (logits.argmax(1) == right.argmax(1)).mean() >= 0.95


def test_ids_that_are_none_and_missing_libraries_are_told(
    bundle: Bundle, library: Native, tmp_path: Path
) -> None:
    native = NativeSession(verify(bundle, "int4"), threads=1)
    with pytest.raises(ValueError, match="expected some from 0"):
        native.step(np.array([10**9]), native.new_cache())
    with pytest.raises(ValueError, match="keep 2 of 1"):
        native.step(np.array([1]), native.new_cache(), 2)
    with pytest.raises(OptionError, match="where there is GCC 11"):
        Native(tmp_path / "_edge.so")
    (tmp_path / "_edge.so").write_text("no library")
    with pytest.raises(OptionError, match="cannot be loaded"):
        Native(tmp_path / "_edge.so")


def test_the_self_test_passes_and_sees_a_wrong_product(
    library: Native, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert computes_rightly(library, cpu)
    right = Native.product

    def off_by_little(self: Native, *arguments: Any) -> Any:
        return right(self, *arguments) * np.float32(1.001)

    monkeypatch.setattr(Native, "product", off_by_little)
    assert not computes_rightly(library, cpu)
