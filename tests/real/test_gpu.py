"""The graph for GPUs, in halves and with real weights, computed on a CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from refact_edge.runtime.backends.gpu import GpuSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import Bundle
from refact_edge.runtime.bundle.verified import verify, verify_gpu
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.session import Session

from .conftest import DEEP, Deep
from .test_parity import cuts, run

GREEDY_TOKENS = 200
NEAR_TIE = 0.05  # of logits


@pytest.fixture(scope="module")
def halves(bundle: Bundle, deep: Deep) -> Iterator[Session]:
    del deep  # the reference is done before there is a session
    session = GpuSession(verify_gpu(bundle, "fp16"), SessionOptions())
    yield session
    session.close()


@pytest.mark.parametrize("how", ["chunks", "tokens"])
def test_halves_give_transformers_logits_at_depth(halves: Session, deep: Deep, how: str) -> None:
    logits = run(halves, deep.ids, cuts(how))
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(deep.logits, axis=1)
    cosines = (logits * deep.logits).sum(axis=1) / lengths
    print(f"least cosine {cosines.min():.7f}")
    assert cosines.min() >= 0.9999


def test_greedy_tokens_of_halves_are_full_precisions_up_to_a_near_tie(
    halves: Session, bundle: Bundle, deep: Deep
) -> None:
    exact = OnnxruntimeSession(verify(bundle, "fp32"), SessionOptions())
    caches = halves.new_cache(), exact.new_cache()
    rows = [_last(s, deep, c) for s, c in zip((halves, exact), caches, strict=True)]
    for place in range(GREEDY_TOKENS):
        mine, theirs = (int(row.argmax()) for row in rows)
        if mine != theirs:
            lead = rows[1].max() - rows[1][mine]
            print(f"token {place} is another, {lead:.4f} behind")
            assert lead < NEAR_TIE
            assert place >= 10, "a near tie so soon that nothing is compared"
            break
        step = np.array([mine])
        rows = [s.step(step, c)[0] for s, c in zip((halves, exact), caches, strict=True)]
    exact.close()


def _last(session: Session, deep: Deep, cache: KvCache) -> npt.NDArray[np.float32]:
    """Return the logits behind the first half of the ids."""
    ids = deep.ids[: DEEP // 2]
    for start in range(0, len(ids), 512):
        logits = session.step(ids[start : start + 512], cache)
    last: npt.NDArray[np.float32] = logits[-1]
    return last
