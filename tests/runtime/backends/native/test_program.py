"""Programs of decoders of several makes, beside the same in double precision."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_weights import DECODERS, FORMS, LLAMA, REFACT, RandomWeights, logits_of

from refact_edge.runtime.backends.native.library import Native
from refact_edge.runtime.backends.native.program import Program, build_program
from refact_edge.runtime.bundle.decoder import Decoder

X86 = ("amx", "avx512vnni", "avxvnni", "avx2")
TOKENS = 60


@pytest.fixture(params=[*X86, "i8mm", "neon", "portable"])
def cpu(request: pytest.FixtureRequest, library: Native) -> str:
    name: str = request.param
    if name not in library.able:
        pytest.skip(f"this CPU cannot compute as {name}")
    return name


def _program(library: Native, weights: RandomWeights) -> Program:
    data = np.fromfile(weights.file, np.uint8)
    return build_program(weights.decoder, weights.places, data, library.constants)


def _logits(
    library: Native, program: Program, cpu: str, ids: np.ndarray, sizes: list[int], threads: int = 2
) -> np.ndarray:
    """Return all logits [T, V] of steps of so many tokens each."""
    edge, done, c = ctypes.c_void_p(), library.constants["EDGE_DONE"], program.c
    opening = library.functions.edge_open(
        ctypes.byref(c), threads, cpu.encode(), ctypes.byref(edge)
    )
    assert opening == done
    caches = [np.zeros((c.context, c.kv_width), np.float32) for _ in range(2 * c.layers)]
    pointers = (ctypes.c_void_p * len(caches))(*(cache.ctypes.data for cache in caches))
    rows, past = [], 0
    for size in sizes:
        logits = np.empty((size, c.vocabulary), np.float32)
        part = np.ascontiguousarray(ids[past : past + size], np.int64)
        assert done == library.functions.edge_step(
            edge, part.ctypes.data, size, past, pointers, size, logits.ctypes.data
        )
        rows.append(logits)
        past += size
    library.functions.edge_close(edge)
    return np.concatenate(rows)


def _ids(decoder: Decoder, count: int = TOKENS) -> np.ndarray:
    return np.random.default_rng(1).integers(0, decoder.vocabulary, count)


@pytest.mark.parametrize(("name", "by_row"), FORMS)
def test_logits_are_those_of_double_precision(
    name: str, by_row: bool, library: Native, cpu: str, tmp_path: Path
) -> None:
    weights = RandomWeights(DECODERS[name], tmp_path / "weights", by_row=by_row)
    ids = _ids(weights.decoder)
    right = logits_of(weights, ids)
    mine = _logits(library, _program(library, weights), cpu, ids, [len(ids)])
    # A number between two steps of 8 bits may be rounded up here and down there.
    off = np.abs(mine - right)
    assert np.median(off) <= 1e-4 * np.abs(right).max()
    assert off.max() <= 0.02 * np.abs(right).max()


@pytest.mark.parametrize(("name", "by_row"), FORMS)
def test_every_way_to_cut_a_text_gives_the_same_bits(
    name: str, by_row: bool, library: Native, cpu: str, tmp_path: Path
) -> None:
    weights = RandomWeights(DECODERS[name], tmp_path / "weights", by_row=by_row)
    ids, program = _ids(weights.decoder), _program(library, weights)
    whole = _logits(library, program, cpu, ids, [TOKENS])
    for sizes in ([1] * TOKENS, [7, 20, 3, 30], [59, 1], [2, 4, 8, 16, 30]):
        for threads in (1, 3):
            parts = _logits(library, program, cpu, ids, sizes, threads)
            assert np.array_equal(parts, whole), (sizes, threads)


@pytest.mark.parametrize(("name", "by_row"), FORMS)
def test_every_kind_of_x86_gives_the_same_bits(
    name: str, by_row: bool, library: Native, tmp_path: Path
) -> None:
    kinds = [kind for kind in library.able if kind in X86]
    if len(kinds) < 2:
        pytest.skip(f"this CPU computes as {' and '.join(kinds) or 'no x86'} only")
    weights = RandomWeights(DECODERS[name], tmp_path / "weights", by_row=by_row)
    ids, program = _ids(weights.decoder), _program(library, weights)
    first, *others = (_logits(library, program, kind, ids, [50, 1, 9]) for kind in kinds)
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("size", [2, 32, 128, 256])
def test_the_mlp_is_rotated_in_blocks(size: int, library: Native, cpu: str, tmp_path: Path) -> None:
    decoder = replace(REFACT, mlp=replace(REFACT.mlp, hidden=512))
    weights = RandomWeights(decoder, tmp_path / "weights", rotation=size)
    ids = _ids(decoder, 20)
    right = logits_of(weights, ids)
    mine = _logits(library, _program(library, weights), cpu, ids, [20])
    assert np.abs(mine - right).max() <= 0.02 * np.abs(right).max()


@pytest.mark.parametrize("width", [96, 128])
def test_a_head_that_is_the_embedding_reads_through_the_matrix_of_the_norm(
    width: int, library: Native, cpu: str, tmp_path: Path
) -> None:
    decoder = replace(LLAMA, width=width)
    weights = RandomWeights(decoder, tmp_path / "weights", rotation=16)
    ids, program = _ids(decoder, 20), _program(library, weights)
    right = logits_of(weights, ids)
    mine = _logits(library, program, cpu, ids, [20])
    off = np.abs(mine - right)
    assert np.median(off) <= 1e-3 * np.abs(right).max()
    assert off.max() <= 0.02 * np.abs(right).max()
    assert np.array_equal(mine, _logits(library, program, cpu, ids, [3, 1, 16]))


def test_another_position_gives_other_logits(library: Native, tmp_path: Path) -> None:
    for name in ("llama", "neox", "bigcode", "refact"):
        weights = RandomWeights(DECODERS[name], tmp_path / "weights")
        ids = np.array([3, 3, 5, 3, 5])
        logits = _logits(library, _program(library, weights), library.best, ids, [5])
        assert not np.allclose(logits[2], logits[4], atol=1e-3), name
