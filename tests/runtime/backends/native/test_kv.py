"""Caches of fp32, fp16 and int8: what a step reads back of them, and what that costs."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from random_weights import DECODERS, RandomWeights

from refact_edge.runtime.backends.native.library import Native
from refact_edge.runtime.backends.native.program import build_program
from refact_edge.runtime.backends.native.selftest import computes_rightly, right_cached
from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import Verified, verify
from refact_edge.runtime.engine.kv_type import FP16, FP32, KV_TYPES

TOKENS = 60
CUTS = ([TOKENS], [1] * TOKENS, [7, 20, 3, 30], [2, 4, 8, 16, 30])


@pytest.fixture(scope="module")
def verified(tiny_bundle: Path) -> Verified:
    return verify(read_bundle(tiny_bundle), "int4")


def _session(verified: Verified, library: Native, name: str) -> NativeSession:
    return NativeSession(verified, threads=2, native=library, kv_type=KV_TYPES[name])


def _ids(count: int = TOKENS) -> np.ndarray:
    return np.random.default_rng(2).integers(3, 400, count)


def _run(session: NativeSession, ids: np.ndarray, sizes: list[int]) -> np.ndarray:
    cache, parts = session.new_cache(), []
    for size in sizes:
        at = len(cache.ids)
        parts.append(session.step(ids[at : at + size], cache, size))
    return np.concatenate(parts)


@pytest.mark.parametrize("name", KV_TYPES)
def test_every_way_to_cut_a_text_gives_the_same_bits(
    name: str, verified: Verified, library: Native
) -> None:
    """Also a step's own tokens are read back from the cache."""
    session, ids = _session(verified, library, name), _ids()
    whole, *parts = (_run(session, ids, sizes) for sizes in CUTS)
    assert all(np.array_equal(part, whole) for part in parts)


def test_smaller_caches_give_nearly_the_logits_of_fp32(verified: Verified, library: Native) -> None:
    ids = _ids()
    logits = {name: _run(_session(verified, library, name), ids, CUTS[0]) for name in KV_TYPES}
    spread = logits["fp32"].std()
    off = {name: np.abs(logits[name] - logits["fp32"]).mean() / spread for name in KV_TYPES}
    # A number between two steps of 8 bits may be rounded up here and down there, in products too.
    assert 0 == off["fp32"] < off["fp16"] < off["int8"] < 0.05, off


@pytest.mark.parametrize("decoder", DECODERS)
def test_all_kinds_of_x86_have_the_same_rows_and_logits(
    decoder: str, library: Native, tmp_path: Path
) -> None:
    kinds = [kind for kind in library.able if kind in ("amx", "avx512vnni", "avxvnni", "avx2")]
    weights = RandomWeights(DECODERS[decoder], tmp_path / "weights")
    for name in ("fp16", "int8"):
        outcomes = {_bytes_of_step(library, weights, name, kind) for kind in kinds}
        assert len(outcomes) <= 1, name


def _bytes_of_step(library: Native, weights: RandomWeights, name: str, kind: str) -> bytes:
    """Return logits and caches of a step of a random decoder, one behind the other."""
    data = np.fromfile(weights.file, np.uint8)
    program = build_program(weights.decoder, weights.places, data, library.constants, name)
    c, edge = program.c, ctypes.c_void_p()
    library.functions.edge_open(ctypes.byref(c), 1, kind.encode(), ctypes.byref(edge))
    caches = [
        np.zeros(4 * c.context * (c.kv_width + c.kv_heads), np.uint8) for _ in range(2 * c.layers)
    ]
    pointers = (ctypes.c_void_p * len(caches))(*(cache.ctypes.data for cache in caches))
    ids = np.arange(40, dtype=np.int64)
    logits = np.empty((40, c.vocabulary), np.float32)
    done = library.functions.edge_step(
        edge, ids.ctypes.data, 40, 0, pointers, 40, logits.ctypes.data
    )
    library.functions.edge_close(edge)
    assert done == library.constants["EDGE_DONE"]
    return logits.tobytes() + b"".join(cache.tobytes() for cache in caches)


@pytest.mark.parametrize("name", KV_TYPES)
@pytest.mark.parametrize("size", [1, 7, 64, 80, 129])
def test_a_cache_gives_back_the_numbers_of_its_type(name: str, size: int, library: Native) -> None:
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    for kind in library.able:
        first, second = library.cached(kind, name, x)
        assert np.array_equal(first, right_cached(name, x)), kind
        assert np.array_equal(second, first), kind


def test_what_is_too_large_for_halves_ends_at_the_largest(library: Native) -> None:
    x = np.array([1e5, -1e30, np.inf, 65519, 65504], np.float32)
    for kind in library.able:
        for numbers in library.cached(kind, "fp16", x):
            assert numbers.tolist() == [65504, -65504, 65504, 65504, 65504]


def test_a_library_that_stores_wrongly_fails_its_self_test(
    library: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert computes_rightly(library, library.best)
    cached = Native.cached

    def wrong(self: Native, cpu: str, kv_type: str, x: np.ndarray) -> np.ndarray:
        numbers: np.ndarray = cached(self, cpu, kv_type, x)
        return np.nextafter(numbers, np.float32(9)) if kv_type == "int8" else numbers

    monkeypatch.setattr(Native, "cached", wrong)
    assert not computes_rightly(library, library.best)


def test_a_cache_of_another_type_is_refused(verified: Verified, library: Native) -> None:
    halves, floats = (_session(verified, library, one.name) for one in (FP16, FP32))
    with pytest.raises(ValueError, match="the cache is another model's"):
        halves.step(_ids(3), floats.new_cache())
