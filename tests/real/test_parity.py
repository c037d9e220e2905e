"""The fp32 graph is transformers' model, and int4 computes the same bits however text is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import refact_edge
from refact_edge.export.parity import FLOAT_TOLERANCE, GREEDY_TOKENS, compare
from refact_edge.runtime.bundle.contract import Bundle
from refact_edge.runtime.engine.session import Session

from .conftest import DEEP, TAIL, Deep

CHUNK = 512
Logits = npt.NDArray[np.float32]


def cuts(how: str) -> list[int]:
    """Return where text is cut: nowhere, in many places, or behind `DEEP` at every token."""
    random = np.random.default_rng(7)
    end = DEEP + TAIL
    if how == "whole":
        return [0, end]
    if how == "chunks":
        places = set(random.integers(1, end, 24).tolist())
        return sorted({0, end, *places, *range(0, DEEP, CHUNK), DEEP + 1, DEEP + 14})
    return [*range(0, DEEP, CHUNK), *range(DEEP, end + 1)]


def run(session: Session, ids: npt.NDArray[np.int64], places: Sequence[int]) -> Logits:
    """Return the logits [TAIL, V] of the last ids, evaluated in pieces between `places`."""
    cache = session.new_cache()
    rows: list[Logits] = []
    for start, end in pairwise(places):
        keep = min(end - start, max(1, end - DEEP))
        logits = session.step(ids[start:end], cache, keep)
        if end > DEEP:
            rows.append(logits)
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def fp32(bundle: Bundle, deep: Deep) -> Iterator[Session]:
    del deep  # the reference is done before there is a session
    model = refact_edge.load(bundle.path, variant="fp32")
    yield model.session
    model.session.close()


@pytest.fixture(scope="module")
def int4(bundle: Bundle) -> Iterator[Session]:
    model = refact_edge.load(bundle.path, variant="int4", engine="native")
    yield model.session
    model.session.close()


@pytest.mark.parametrize("how", ["whole", "chunks", "steps"])
def test_fp32_has_the_logits_of_transformers_at_position_4000(
    how: str, fp32: Session, deep: Deep
) -> None:
    got = run(fp32, deep.ids, cuts(how))
    np.testing.assert_allclose(got, deep.logits, rtol=0, atol=FLOAT_TOLERANCE)
    np.testing.assert_array_equal(got.argmax(1), deep.logits.argmax(1))


def test_fp32_is_the_reference_in_every_way_of_cutting_and_writes_the_same_200_tokens(
    checkpoint: Path, bundle: Bundle
) -> None:
    result = compare(checkpoint, bundle.path, variants=["fp32"], prompt_tokens=256)["fp32"]
    assert result.exact, result
    assert result.greedy_tokens == GREEDY_TOKENS


@pytest.fixture(scope="module")
def whole_int4(int4: Session, deep: Deep) -> Logits:
    return run(int4, deep.ids, cuts("whole"))


@pytest.mark.parametrize("how", ["chunks", "steps"])
def test_native_int4_has_the_same_bits_however_text_is_cut(
    how: str, int4: Session, deep: Deep, whole_int4: Logits
) -> None:
    np.testing.assert_array_equal(run(int4, deep.ids, cuts(how)), whole_int4)
