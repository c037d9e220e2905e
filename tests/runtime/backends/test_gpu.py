"""The session for GPUs, computed on a CPU: caches that take turns, candidates, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from refact_edge.runtime.backends.fallback import FallbackSession
from refact_edge.runtime.backends.gpu import GpuError, GpuSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.gpu import CANDIDATES
from refact_edge.runtime.bundle.verified import verify, verify_gpu
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY, Sampling
from refact_edge.runtime.engine.session import Session
from refact_edge.runtime.errors import PromptError, RefactEdgeWarning

IDS = np.random.default_rng(3).integers(0, 90, 60)
NEAR = 0.05  # of logits, between halves however they are cut


@pytest.fixture
def session(tiny_bundle: Path) -> GpuSession:
    return GpuSession(verify_gpu(read_bundle(tiny_bundle), "fp16"), SessionOptions())


def _alone(session: Session, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return session.step(ids, session.new_cache(), len(ids))


def test_sequences_take_turns_in_the_buffers_and_go_back(session: GpuSession) -> None:
    others = IDS[::-1].copy()
    expected, other_expected = _alone(session, IDS), _alone(session, others)
    cache, other = session.new_cache(), session.new_cache()
    for start in range(0, len(IDS), 20):
        part = slice(start, start + 20)
        got = session.step(IDS[part], cache, 20)
        np.testing.assert_allclose(got, expected[part], atol=NEAR)
        got = session.step(others[part], other, 20)
        np.testing.assert_allclose(got, other_expected[part], atol=NEAR)
    cache.rewind(30)
    np.testing.assert_allclose(session.step(IDS[30:33], cache, 3), expected[30:33], atol=NEAR)


def test_a_copy_goes_on_from_its_own_rows(session: GpuSession) -> None:
    expected = _alone(session, IDS)
    cache, copy = session.new_cache(), session.new_cache()
    session.step(IDS, cache)
    copy.copy(cache, 40)
    assert copy.held_bytes > 0
    session.step(np.full(10, 5), cache)  # writes over nothing of the copy's
    np.testing.assert_allclose(session.step(IDS[40:], copy, 20), expected[40:], atol=NEAR)


def test_steps_of_any_length_are_those_of_one(session: GpuSession) -> None:
    expected, cache, start = _alone(session, IDS), session.new_cache(), 0
    for length in (1, 2, 3, 4, 5, 8, 9, 17, 11):
        got = session.step(IDS[start : start + length], cache, length)
        np.testing.assert_allclose(got, expected[start : start + length], atol=NEAR)
        start += length


def test_the_last_rows_of_the_context_are_filled_and_no_more(session: GpuSession) -> None:
    context = session.sizes.context
    ids = np.random.default_rng(1).integers(0, 90, context)
    cache = session.new_cache()
    session.step(ids[: context - 2], cache)
    last = session.step(ids[context - 2 :], cache, 2)
    np.testing.assert_allclose(last, _alone(session, ids)[-2:], atol=NEAR)
    with pytest.raises(PromptError, match=r"do not fit a context of"):
        session.step(ids[:1], cache)


def test_candidates_are_the_greatest_logits_and_nothing_else(session: GpuSession) -> None:
    cache, other = session.new_cache(), session.new_cache()
    whole = session.step(IDS, cache, 2)
    other.candidates_suffice = True
    few = session.step(IDS, other, 2)
    for row, wanted in zip(few, whole, strict=True):
        there = np.isfinite(row)
        assert there.sum() == CANDIDATES
        np.testing.assert_array_equal(row[there], wanted[there])
        assert row[there].min() >= wanted[~there].max()


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1, top_k=50, seed=1)])
def test_what_is_drawn_of_candidates_is_what_is_drawn_of_all(
    session: GpuSession, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    def text() -> list[int]:
        request = Request(IDS[:20].tolist(), sampling, 24, stop_ids=frozenset())
        return list(Generation(session, PrefixCache(session.new_cache), request))

    drawn = text()
    monkeypatch.setattr(Sampling, "needs_only", lambda *_: False)
    assert text() == drawn


def test_who_looks_at_all_logits_is_given_all() -> None:
    assert not Sampling(temperature=1, top_k=0).needs_only(CANDIDATES)
    assert not Sampling(temperature=0, repetition_penalty=1.1).needs_only(CANDIDATES)
    assert not Sampling(temperature=1, top_k=65).needs_only(CANDIDATES)
    assert Sampling(temperature=1, top_k=64).needs_only(CANDIDATES)


def test_another_sessions_cache_and_a_closed_session_are_refused(
    session: GpuSession, tiny_bundle: Path
) -> None:
    other = OnnxruntimeSession(verify(read_bundle(tiny_bundle), "fp32"), SessionOptions())
    with pytest.raises(ValueError, match="another model's"):
        session.step(IDS, other.new_cache())
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.step(IDS, session.new_cache())


class Failing:
    """A run of onnxruntime that fails from some number of steps on."""

    def __init__(self, inner: Any, left: int) -> None:
        self._inner, self._left = inner, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run_with_iobinding(self, *arguments: object) -> None:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")
        self._inner.run_with_iobinding(*arguments)


def _failing_after(session: GpuSession, steps: int) -> GpuSession:
    session._session = Failing(session._session, steps)
    return session


def test_a_failed_step_leaves_the_cache_as_it_was_and_says_why(session: GpuSession) -> None:
    cache = _failing_after(session, 1).new_cache()
    session.step(IDS[:10], cache)
    with pytest.raises(GpuError, match=r"not enough memory left; .* take int4"):
        session.step(IDS[10:20], cache)
    assert cache.ids == IDS[:10].tolist()


def test_a_fault_of_our_own_is_not_blamed_on_the_gpu(
    session: GpuSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(session, "_write", wrong)
    with pytest.raises(TypeError, match="a fault of ours"):
        session.step(IDS, session.new_cache())


def test_when_the_gpu_fails_the_cpu_goes_on_from_the_same_tokens(
    session: GpuSession, tiny_bundle: Path
) -> None:
    cpu = OnnxruntimeSession(verify(read_bundle(tiny_bundle), "fp32"), SessionOptions())
    opened: list[Session] = []

    def open_cpu() -> Session:
        opened.append(cpu)
        return cpu

    both = FallbackSession(_failing_after(session, 2), open_cpu)
    cache, other = both.new_cache(), both.new_cache()
    both.step(IDS[:30], cache)
    both.step(IDS[:5], other)
    assert not opened
    with pytest.warns(RefactEdgeWarning, match="going on on the CPU") as caught:
        got = both.step(IDS[30:], cache, 30)
    np.testing.assert_array_equal(got, _resumed(cpu, 30))
    assert (len(caught), opened, both.engine) == (1, [cpu], cpu.engine)
    assert both.step(IDS[5:6], other).shape == (1, cpu.sizes.vocabulary)
    cache.rewind(29)
    copy = both.new_cache()
    copy.copy(cache, 20)
    both.step(IDS[20:], copy)
    assert len(copy.ids) == len(IDS)
    both.close()


def _resumed(session: Session, at: int) -> npt.NDArray[np.float32]:
    cache: KvCache = session.new_cache()
    session.step(IDS[:at], cache)
    return session.step(IDS[at:], cache, len(IDS) - at)
