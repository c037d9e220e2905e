"""The native step computes decoders of other families, exported from models of transformers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from decoders import DECODERS, TOKENS, logits, make_checkpoint
from more_decoders import MORE

from refact_edge.export.convert import export_bundle
from refact_edge.runtime.backends.native.session import VARIANTS, NativeSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import Verified, verify
from refact_edge.runtime.engine.session import Session

Logits = npt.NDArray[np.float32]
IDS = np.random.default_rng(8).integers(0, TOKENS, 90)
CUTS = {"whole": [90], "chunks": [1, 40, 3, 17, 29], "single tokens": [1] * 90}


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Verified]:
    folder = tmp_path_factory.mktemp("families")
    for name in (*DECODERS, *MORE):
        checkpoint = make_checkpoint(name, folder / f"{name}-checkpoint")
        export_bundle(checkpoint, folder / name, list(VARIANTS))
    return {
        (name, variant): verify(read_bundle(folder / name), variant)
        for name in (*DECODERS, *MORE)
        for variant in VARIANTS
    }


def _run(session: Session, cuts: list[int]) -> Logits:
    cache, ends = session.new_cache(), np.cumsum(cuts)
    pieces = zip(ends - cuts, ends, strict=True)
    return np.concatenate([session.step(IDS[a:b], cache, b - a) for a, b in pieces])


def _log_probabilities(row_logits: Logits) -> npt.NDArray[np.float64]:
    wide = row_logits.astype(np.float64)
    wide -= wide.max(1, keepdims=True)
    sums: npt.NDArray[np.float64] = np.exp(wide).sum(1, keepdims=True)
    return wide - np.log(sums)


def _mean_kl(right: Logits, other: Logits) -> float:
    """Return the mean divergence of `other` from `right`, in nats a position."""
    p, q = map(_log_probabilities, (right, other))
    return float((np.exp(p) * (p - q)).sum(1).mean())


@pytest.mark.parametrize("name", [*DECODERS, *MORE])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_as_near_to_transformers_as_onnxruntime_is(
    name: str, variant: str, verified: dict[tuple[str, str], Verified]
) -> None:
    one = verified[name, variant]
    native = _run(NativeSession(one, threads=2), CUTS["whole"])
    onnxruntime = _run(OnnxruntimeSession(one, SessionOptions()), CUTS["whole"])
    # The first token has no history; later ones differ where a value lay between two codes.
    np.testing.assert_allclose(native[0], onnxruntime[0], atol=1e-5 * np.abs(onnxruntime[0]).max())
    assert np.linalg.norm(native - onnxruntime) <= 0.05 * np.linalg.norm(onnxruntime)
    right = logits(name, IDS)
    assert _mean_kl(right, native) <= 1.1 * _mean_kl(right, onnxruntime) + 1e-6


@pytest.mark.parametrize("name", [*DECODERS, *MORE])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_bits_are_the_same_however_text_is_cut(
    name: str, variant: str, verified: dict[tuple[str, str], Verified]
) -> None:
    session = NativeSession(verified[name, variant], threads=2)
    whole, *others = (_run(session, cuts) for cuts in CUTS.values())
    assert all(np.array_equal(whole, other) for other in others)
