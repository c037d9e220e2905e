"""The library refuses a model or a step that does not fit together, whoever made it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.machine.library import DONE, REFUSED, CModel, Native, opened


@pytest.fixture(scope="module")
def library() -> Native:
    try:
        return opened()
    except OptionError as error:
        pytest.skip(str(error))


@pytest.fixture
def session(tiny_bundle: Path, library: Native) -> NativeSession:
    return NativeSession(verify(read_bundle(tiny_bundle), "int4"), threads=1, native=library)


def _open(library: Native, model: CModel, threads: int = 1, cpu: str = "portable") -> int:
    edge = ctypes.c_void_p()
    done: int = library.functions.edge_open(
        ctypes.byref(model), threads, cpu.encode(), ctypes.byref(edge)
    )
    assert bool(edge) == (done == DONE)
    library.functions.edge_close(edge)
    return done


def _set(target: ctypes.Structure, **values: object) -> None:
    for name, value in values.items():
        setattr(target, name, value)


HUGE = 2**31 - 1
LIES: dict[str, Callable[[CModel], None]] = {
    "a second layer with a wider MLP": lambda m: _set(m.blocks[1].gate_up, rows=1024),
    "a second layer with a longer row": lambda m: _set(m.blocks[1].down, cols=512),
    "other queries": lambda m: _set(m.blocks[0].q, rows=97),
    "other keys": lambda m: _set(m.blocks[1].kv, rows=34),
    "codes of 3 bits": lambda m: _set(m.head, bits=3),
    "codes that end behind the file": lambda m: _set(m.head, codes=m.data + m.data_bytes - 9),
    "no layers": lambda m: _set(m, layers=0),
    "more layers than there may be": lambda m: _set(m, layers=HUGE),
    "heads beyond all reason": lambda m: _set(m, heads=HUGE),
    "heads whose product overflows": lambda m: _set(m, heads=1024, head_size=65536),
    "a negative width": lambda m: _set(m, width=-96),
    "a wider hidden layer": lambda m: _set(m, hidden=512),
    "a larger vocabulary": lambda m: _set(m, vocabulary=449),
    "a context beyond all reason": lambda m: _set(m, context=HUGE),
    "a turn that is not there": lambda m: _set(m, turn=None),
    "a larger turn than there is room for": lambda m: _set(m, turn_size=2048),
    "a turn that does not divide": lambda m: _set(m, turn_size=48),
    "an epsilon that is no number": lambda m: _set(m, epsilon=float("nan")),
    "a norm at the end of the file": lambda m: _set(m, norm=m.data + m.data_bytes - 4),
    "a norm at an odd place": lambda m: _set(m, norm=m.norm + 2),
    "codes before the file": lambda m: _set(m.embedding, codes=m.data - 1),
    "scales behind the file": lambda m: _set(m.embedding, scales=m.data + m.data_bytes),
    "no codes": lambda m: _set(m.blocks[0].out, codes=None),
    "a shorter file": lambda m: _set(m, data_bytes=m.data_bytes // 2),
    "a file of negative size": lambda m: _set(m, data_bytes=-1),
}


def test_a_model_as_it_is_opens(session: NativeSession, library: Native) -> None:
    assert _open(library, session.model) == DONE


@pytest.mark.parametrize("lie", LIES)
def test_a_model_that_does_not_fit_together_is_refused(
    lie: str, session: NativeSession, library: Native
) -> None:
    LIES[lie](session.model)
    assert _open(library, session.model) == REFUSED


def test_threads_and_ways_to_compute_that_are_none_are_refused(
    session: NativeSession, library: Native
) -> None:
    for threads in (0, -1, 1025):
        assert _open(library, session.model, threads) == REFUSED
    assert _open(library, session.model, cpu="abacus") == REFUSED


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

    assert step(0, 1, np.array([1], np.int64)) == DONE
    assert step(past, keep, array) == REFUSED


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads mappings in /proc")
def test_a_closed_session_maps_the_bundle_no_more(bundle_copy: Path, library: Native) -> None:
    """Windows replaces and removes no file that is mapped."""
    session = NativeSession(verify(read_bundle(bundle_copy), "int4"), threads=1, native=library)
    assert str(bundle_copy) in Path("/proc/self/maps").read_text(encoding="utf-8")
    session.close()
    assert str(bundle_copy) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="the session is closed"):
        session.step(np.zeros(1, np.int64), session.new_cache())
    session.close()  # which may be called again
