"""The library refuses a program or a step that does not fit together, whoever made it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_weights import BIGCODE, LLAMA, NEOX, RandomWeights

from refact_edge.runtime.backends.native import layout
from refact_edge.runtime.backends.native.library import Native
from refact_edge.runtime.backends.native.program import (
    GATED,
    KV,
    STREAM,
    UP,
    Program,
    build_program,
)
from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.decoder import Decoder
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.kv_type import FP16, FP32
from refact_edge.runtime.errors import ClosedError

HEAD_NORMS = replace(LLAMA, attention=replace(LLAMA.attention, head_norm=True))


@pytest.fixture
def session(tiny_bundle: Path, library: Native) -> NativeSession:
    return NativeSession(verify(read_bundle(tiny_bundle), "int4"), threads=1, native=library)


class Lie:
    """A program, of which a test changes a field."""

    def __init__(self, program: Program, constants: dict[str, int]) -> None:
        self.program, self.c, self._constants = program, program.c, constants

    def first(self, kind: str, number: int = 0) -> layout.Operation:
        """Return an operation of a kind."""
        operations: list[layout.Operation] = self.c.operations[: self.c.count]
        return [one for one in operations if one.kind == self._constants[kind]][number]

    @property
    def end(self) -> int:
        """The first address behind the file."""
        return int(self.c.data) + int(self.c.data_bytes)

    @property
    def table_end(self) -> int:
        """The first address behind the tables."""
        return int(self.c.tables) + int(self.c.table_bytes)


def _lie(
    library: Native, decoder: Decoder, folder: Path, rotation: int = 0, *, by_row: bool = False
) -> Lie:
    weights = RandomWeights(decoder, folder / "weights", rotation=rotation, by_row=by_row)
    data = np.fromfile(weights.file, np.uint8)
    program = build_program(decoder, weights.places, data, library.constants)
    return Lie(program, library.constants)


def _open(library: Native, c: layout.Program, threads: int = 1, cpu: str = "portable") -> int:
    edge = ctypes.c_void_p()
    done: int = library.functions.edge_open(
        ctypes.byref(c), threads, cpu.encode(), ctypes.byref(edge)
    )
    assert bool(edge) == (done == library.constants["EDGE_DONE"])
    library.functions.edge_close(edge)
    return done


def _set(target: ctypes.Structure, **values: object) -> None:
    for name, value in values.items():
        setattr(target, name, value)


def _from(operation: layout.Operation, buffer: int) -> None:
    setattr(operation, "from", buffer)  # a word of Python's


def _width(lie: Lie, buffer: int, width: int) -> None:
    lie.c.widths[buffer] = width


def _kind(lie: Lie, kind: str, number: int, other: int) -> None:
    lie.first(kind, number).kind = other


HUGE = 2**31 - 1
LIES: dict[str, Callable[[Lie], None]] = {
    # the program itself
    "operations: none": lambda p: _set(p.c, operations=None),
    "count: nothing": lambda p: _set(p.c, count=0),
    "count: too many": lambda p: _set(p.c, count=HUGE),
    "count: no logits": lambda p: _set(p.c, count=p.c.count - 1),
    "context: none": lambda p: _set(p.c, context=0),
    "context: beyond all reason": lambda p: _set(p.c, context=HUGE),
    "context: longer than the angles": lambda p: _set(p.c, context=97),
    "vocabulary: larger": lambda p: _set(p.c, vocabulary=91),
    "vocabulary: negative": lambda p: _set(p.c, vocabulary=-90),
    "layers: more": lambda p: _set(p.c, layers=3),
    "layers: fewer": lambda p: _set(p.c, layers=1),
    "layers: beyond all reason": lambda p: _set(p.c, layers=HUGE),
    "kv_width: wider": lambda p: _set(p.c, kv_width=49),
    "kv_width: beyond all reason": lambda p: _set(p.c, kv_width=HUGE),
    "kv_heads: none": lambda p: _set(p.c, kv_heads=0),
    "kv_heads: other than attention's": lambda p: _set(p.c, kv_heads=4),
    "kv_heads: no divisor": lambda p: _set(p.c, kv_heads=5),
    "kv_heads: more than numbers": lambda p: _set(p.c, kv_heads=49),
    "kv_type: negative": lambda p: _set(p.c, kv_type=-1),
    "kv_type: unknown": lambda p: _set(p.c, kv_type=3),
    "widths: a wider stream": lambda p: _width(p, STREAM, 129),
    "widths: a negative one": lambda p: _width(p, STREAM, -128),
    "widths: no keys and values": lambda p: _width(p, KV, 0),
    "widths: beyond all reason": lambda p: _width(p, 15, HUGE),
    "data: elsewhere": lambda p: _set(p.c, data=p.c.data + p.c.data_bytes),
    "data: none": lambda p: _set(p.c, data=None),
    "data_bytes: half of them": lambda p: _set(p.c, data_bytes=p.c.data_bytes // 2),
    "data_bytes: negative": lambda p: _set(p.c, data_bytes=-1),
    "tables: elsewhere": lambda p: _set(p.c, tables=p.table_end),
    "table_bytes: half of them": lambda p: _set(p.c, table_bytes=p.c.table_bytes // 2),
    "table_bytes: negative": lambda p: _set(p.c, table_bytes=-1),
    # any operation
    "kind: none": lambda p: _set(p.first("ROUND"), kind=-1),
    "kind: unknown": lambda p: _set(p.first("ROUND"), kind=10),
    "from: no buffer": lambda p: _from(p.first("ROUND"), 16),
    "from: a negative one": lambda p: _from(p.first("NORM"), -1),
    "from: never written": lambda p: _from(p.first("NORM"), UP),
    "from: of another width": lambda p: _from(p.first("ROUND"), KV),
    "from: as to": lambda p: _from(p.first("NORM"), p.first("NORM").to),
    "to: no buffer": lambda p: _set(p.first("NORM"), to=16),
    "to: a negative one": lambda p: _set(p.first("EMBED"), to=-2),
    "to: of another width": lambda p: _set(p.first("MULTIPLY"), to=KV),
    "to: what has no width": lambda p: _set(p.first("MULTIPLY"), to=9),
    # the embedding
    "embed.matrix.rows": lambda p: _set(p.first("EMBED").embed.matrix, rows=89),
    "embed.matrix.cols": lambda p: _set(p.first("EMBED").embed.matrix, cols=127),
    "embed.matrix.bits": lambda p: _set(p.first("EMBED").embed.matrix, bits=3),
    "embed.matrix.codes: before the file": lambda p: _set(
        p.first("EMBED").embed.matrix, codes=p.c.data - 1
    ),
    "embed.matrix.scales: behind it": lambda p: _set(p.first("EMBED").embed.matrix, scales=p.end),
    "embed.matrix.row_scales: beside those of blocks": lambda p: _set(
        p.first("EMBED").embed.matrix, row_scales=p.c.data
    ),
    "embed.padded": lambda p: _set(p.first("EMBED").embed, padded=2),
    "embed.scale": lambda p: _set(p.first("EMBED").embed, scale=float("nan")),
    "embed.positions: elsewhere": lambda p: _set(
        p.first("EMBED").embed, positions=p.end - 4, position_rows=96
    ),
    "embed.position_rows: too few": lambda p: _set(
        p.first("EMBED").embed, positions=p.c.data, position_rows=95
    ),
    # norms
    "norm.weight: at the end": lambda p: _set(p.first("NORM").norm, weight=p.end - 4),
    "norm.weight: at an odd place": lambda p: _set(
        p.first("NORM").norm, weight=p.first("NORM").norm.weight + 2
    ),
    "norm.weight: none": lambda p: _set(p.first("NORM").norm, weight=None),
    "norm.bias: elsewhere": lambda p: _set(p.first("NORM").norm, bias=p.end),
    "norm.epsilon: no number": lambda p: _set(p.first("NORM").norm, epsilon=float("nan")),
    "norm.epsilon: zero": lambda p: _set(p.first("NORM").norm, epsilon=0),
    "norm.rms": lambda p: _set(p.first("NORM").norm, rms=2),
    # rounding
    "round.terms: by row, for blocks": lambda p: _set(p.first("ROUND").round, terms=1),
    "round.terms: negative": lambda p: _set(p.first("ROUND").round, terms=-1),
    # products
    "multiply.matrix.rows": lambda p: _set(p.first("MULTIPLY").multiply.matrix, rows=145),
    "multiply.matrix.cols": lambda p: _set(p.first("MULTIPLY").multiply.matrix, cols=256),
    "multiply.matrix.bits": lambda p: _set(p.first("MULTIPLY").multiply.matrix, bits=5),
    "multiply.matrix.codes: end behind the file": lambda p: _set(
        p.first("MULTIPLY").multiply.matrix, codes=p.end - 9
    ),
    "multiply.matrix.codes: none": lambda p: _set(p.first("MULTIPLY").multiply.matrix, codes=None),
    "multiply.matrix.scales: at an odd place": lambda p: _set(
        p.first("MULTIPLY").multiply.matrix,
        scales=p.first("MULTIPLY").multiply.matrix.scales + 1,
    ),
    "multiply.matrix.row_scales: in place of those of blocks": lambda p: _set(
        p.first("MULTIPLY").multiply.matrix, scales=None, row_scales=p.c.data, bits=8
    ),
    "multiply.bias: elsewhere": lambda p: _set(p.first("MULTIPLY").multiply, bias=p.end),
    "multiply.scale: infinite": lambda p: _set(p.first("MULTIPLY").multiply, scale=float("inf")),
    "multiply.scale: of a sum": lambda p: _set(p.first("MULTIPLY", 2).multiply, scale=2.0),
    "multiply.add: two": lambda p: _set(p.first("MULTIPLY").multiply, add=2),
    "multiply.add: to nothing": lambda p: _set(p.first("MULTIPLY").multiply, add=1),
    "multiply: logits of all": lambda p: _set(p.first("MULTIPLY"), to=-1),
    "multiply: nothing rounded": lambda p: _kind(p, "ROUND", 0, 6),
    # heads
    "norm_heads.heads.heads": lambda p: _set(p.first("NORM_HEADS").norm_heads.heads, heads=7),
    "norm_heads.heads.size": lambda p: _set(p.first("NORM_HEADS").norm_heads.heads, size=HUGE),
    "norm_heads.weight": lambda p: _set(p.first("NORM_HEADS").norm_heads, weight=p.end - 4),
    "norm_heads.epsilon": lambda p: _set(p.first("NORM_HEADS").norm_heads, epsilon=-1e-5),
    "rotary.heads.heads": lambda p: _set(p.first("ROTARY").rotary.heads, heads=HUGE),
    "rotary.dims: odd": lambda p: _set(p.first("ROTARY").rotary, dims=23),
    "rotary.dims: more than a head": lambda p: _set(p.first("ROTARY").rotary, dims=26),
    "rotary.cosines": lambda p: _set(p.first("ROTARY").rotary, cosines=p.table_end),
    "rotary.sines": lambda p: _set(p.first("ROTARY").rotary, sines=p.table_end - 8),
    # the cache and attention
    "append.layer: another": lambda p: _set(p.first("APPEND").append, layer=1),
    "append.layer: negative": lambda p: _set(p.first("APPEND").append, layer=-1),
    "append: of what is too narrow": lambda p: _from(p.first("APPEND"), STREAM),
    "attend.layer: not there yet": lambda p: _set(p.first("ATTEND").attend, layer=1),
    "attend.layer: negative": lambda p: _set(p.first("ATTEND").attend, layer=-1),
    "attend.heads": lambda p: _set(p.first("ATTEND").attend, heads=12),
    "attend.heads: beyond all reason": lambda p: _set(p.first("ATTEND").attend, heads=HUGE),
    "attend.kv_heads: none": lambda p: _set(p.first("ATTEND").attend, kv_heads=0),
    "attend.kv_heads: no divisor": lambda p: _set(p.first("ATTEND").attend, kv_heads=4),
    "attend.head_size": lambda p: _set(p.first("ATTEND").attend, head_size=12),
    "attend.window: negative": lambda p: _set(p.first("ATTEND").attend, window=-1),
    "attend.window: beyond all reason": lambda p: _set(p.first("ATTEND").attend, window=HUGE),
    "attend.scale": lambda p: _set(p.first("ATTEND").attend, scale=float("nan")),
    "attend.slopes": lambda p: _set(p.first("ATTEND").attend, slopes=p.end - 8),
    "attend: no room for what comes": lambda p: _set(p.first("ATTEND"), to=STREAM),
    # gates
    "gate.rotation: none": lambda p: _set(p.first("GATE").gate, rotation=None),
    "gate.rotation: elsewhere": lambda p: _set(p.first("GATE").gate, rotation=p.end - 4),
    "gate.rotation_size: too large": lambda p: _set(p.first("GATE").gate, rotation_size=2048),
    "gate.rotation_size: does not divide": lambda p: _set(p.first("GATE").gate, rotation_size=48),
    "gate.activation": lambda p: _set(p.first("GATE").gate, activation=3),
    "gate.gated: not": lambda p: _set(p.first("GATE").gate, gated=0),
    "gate.gated: two": lambda p: _set(p.first("GATE").gate, gated=2),
    "gate: narrower": lambda p: _width(p, GATED, 128),
    # the last tokens
    "keep_last: of nothing": lambda p: _set(p.first("KEEP_LAST"), to=12),
    "keep_last: of another buffer": lambda p: _set(p.first("KEEP_LAST"), to=KV),
    "keep_last: twice": lambda p: _set(
        p.c.operations[p.c.count - 2], kind=p.first("KEEP_LAST").kind, to=STREAM
    ),
    "keep_last: before attention": lambda p: _set(
        p.first("NORM_HEADS"), kind=p.first("KEEP_LAST").kind
    ),
}


@pytest.mark.parametrize("decoder", [HEAD_NORMS, BIGCODE])
def test_a_program_as_it_is_opens(decoder: Decoder, library: Native, tmp_path: Path) -> None:
    assert _open(library, _lie(library, decoder, tmp_path).c) == library.constants["EDGE_DONE"]


@pytest.mark.parametrize("field", LIES)
def test_a_program_that_does_not_fit_together_is_refused(
    field: str, library: Native, tmp_path: Path
) -> None:
    decoder = replace(HEAD_NORMS, mlp=replace(HEAD_NORMS.mlp, hidden=256))
    lie = _lie(library, decoder, tmp_path, rotation=64)
    assert _open(library, lie.c) == library.constants["EDGE_DONE"]
    LIES[field](lie)
    assert _open(library, lie.c) == library.constants["EDGE_REFUSED"]


LIES_BY_ROW: dict[str, Callable[[Lie], None]] = {
    "row_scales: none": lambda p: _set(p.first("MULTIPLY").multiply.matrix, row_scales=None),
    "row_scales: behind the file": lambda p: _set(
        p.first("MULTIPLY").multiply.matrix, row_scales=p.end - 4
    ),
    "row_scales: at an odd place": lambda p: _set(
        p.first("EMBED").embed.matrix, row_scales=p.first("EMBED").embed.matrix.row_scales + 2
    ),
    "codes: end behind the file": lambda p: _set(
        p.first("MULTIPLY").multiply.matrix, codes=p.end - 9
    ),
    "codes: before the file": lambda p: _set(p.first("EMBED").embed.matrix, codes=p.c.data - 1),
    "bits": lambda p: _set(p.first("MULTIPLY").multiply.matrix, bits=4),
    "scales: beside those of rows": lambda p: _set(
        p.first("MULTIPLY").multiply.matrix, scales=p.c.data
    ),
    "terms: none": lambda p: _set(p.first("ROUND").round, terms=0),
    "terms: three": lambda p: _set(p.first("ROUND").round, terms=3),
}


@pytest.mark.parametrize("lie", LIES_BY_ROW)
def test_a_program_by_row_that_does_not_fit_together_is_refused(
    lie: str, library: Native, tmp_path: Path
) -> None:
    program = _lie(library, NEOX, tmp_path, by_row=True)
    assert _open(library, program.c) == library.constants["EDGE_DONE"]
    LIES_BY_ROW[lie](program)
    assert _open(library, program.c) == library.constants["EDGE_REFUSED"]


def test_every_field_of_a_program_has_a_lie() -> None:
    lies = {name.partition(":")[0] for name in LIES}
    nested = {"Matrix": ("embed.matrix", "multiply.matrix"), "Heads": ("norm_heads.heads",)}
    names = {"NormHeads": "norm_heads"}
    for field, _, _ in layout.fields():
        structure, _, name = field.partition(".")
        if structure in ("Operation", "Program"):
            expected = (
                [name] if hasattr(layout.Program, name) or name in ("kind", "from", "to") else []
            )
        else:
            places = nested.get(structure, (names.get(structure, structure.lower()),))
            expected = [f"{place}.{name}" for place in places]
        for one in expected:
            if not any(lie.startswith(one) for lie in lies):
                raise AssertionError(f"no test changes {one}")


def test_threads_and_ways_to_compute_that_are_none_are_refused(
    library: Native, tmp_path: Path
) -> None:
    c, refused = _lie(library, LLAMA, tmp_path).c, library.constants["EDGE_REFUSED"]
    for threads in (0, -1, library.constants["MOST_THREADS"] + 1):
        assert _open(library, c, threads) == refused
    assert _open(library, c, cpu="abacus") == refused


def test_a_program_that_is_changed_after_it_was_opened_runs_as_it_was(
    session: NativeSession,
) -> None:
    ids = np.arange(3, 9)
    before = session.step(ids, session.new_cache())
    assert session.program is not None
    for operation in session.program.c.operations[: session.program.c.count]:
        operation.kind = 99
    assert np.array_equal(session.step(ids, session.new_cache()), before)


@pytest.mark.parametrize(
    ("ids", "past", "keep"),
    [([1], -1, 1), ([1], 640, 1), ([1] * 3, 638, 1), ([], 0, 0), ([1], 0, 2), ([1], 0, 0),
     ([448], 0, 1), ([-1], 0, 1), ([2**40], 0, 1)],
)  # fmt: skip
def test_a_step_beyond_its_bounds_is_refused(
    ids: list[int], past: int, keep: int, session: NativeSession, library: Native
) -> None:
    cache, array = session.new_cache(), np.array(ids, np.int64)
    buffers = (ctypes.c_void_p * len(cache.pointers))(*cache.pointers)
    logits = np.zeros((4, session.sizes.vocabulary), np.float32)

    def step(past: int, keep: int, ids: np.ndarray) -> int:
        done: int = library.functions.edge_step(
            session._edge, ids.ctypes.data, len(ids), past, buffers, keep, logits.ctypes.data
        )
        return done

    assert step(0, 1, np.array([1], np.int64)) == library.constants["EDGE_DONE"]
    assert step(past, keep, array) == library.constants["EDGE_REFUSED"]


@pytest.mark.parametrize("change", [{"layers": 1}, {"context": 100}, {"head_size": 8}])
def test_a_cache_of_another_model_is_refused(
    change: dict[str, int], session: NativeSession
) -> None:
    """The library cannot know how much memory lies behind a pointer."""
    foreign = KvCache.in_memory(replace(session.sizes, **change), FP32)
    with pytest.raises(ValueError, match="the cache is another model's"):
        session.step(np.arange(3), foreign)
    halves = KvCache.in_memory(session.sizes, FP16)
    with pytest.raises(ValueError, match="the cache is another model's"):
        session.step(np.arange(3), halves)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads mappings in /proc")
def test_a_closed_session_maps_the_bundle_no_more(bundle_copy: Path, library: Native) -> None:
    """Windows replaces and removes no file that is mapped."""
    session = NativeSession(verify(read_bundle(bundle_copy), "int4"), threads=1, native=library)
    assert str(bundle_copy) in Path("/proc/self/maps").read_text(encoding="utf-8")
    session.close()
    assert str(bundle_copy) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    with pytest.raises(ClosedError, match="the model is closed"):
        session.step(np.zeros(1, np.int64), session.new_cache())
    session.close()  # which may be called again
