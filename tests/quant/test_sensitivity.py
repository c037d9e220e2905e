"""The ranking by which bytes are spent."""

import numpy as np
import pytest

from refact_edge.quant.moments import Moments
from refact_edge.quant.schemes import Blocks
from refact_edge.quant.sensitivity import FORMS, rank

RANDOM = np.random.default_rng(0)


def _seen(size: float, columns: int) -> Moments:
    moments = Moments()
    moments.add((size * RANDOM.standard_normal((400, columns))).astype(np.float32))
    return moments


def test_more_bits_lose_less_and_take_more() -> None:
    weight = RANDOM.standard_normal((64, 256)).astype(np.float32)
    choices = rank({"w": weight}, {"w": _seen(1.0, 256)}, {}, 0.0)["w"]
    assert [choice.form for choice in choices] == list(FORMS)
    assert [choice.bytes for choice in choices] == sorted(choice.bytes for choice in choices)
    losses = [choice.loss for choice in choices]
    assert losses == sorted(losses, reverse=True)


def test_a_loss_is_the_share_of_the_stream_that_the_error_replaces() -> None:
    weight = np.eye(128, dtype=np.float32) * 7
    weight[0, 1] = 0.4  # a code is a whole number here: this becomes 0
    moments = Moments()
    moments.add(np.eye(128, dtype=np.float32) * np.sqrt(128))
    form = Blocks(4, 128)
    energy = 128 * 49.0 + 0.4**2
    alone = rank({"w": weight}, {"w": moments}, {}, 0.0, [form])["w"][0].loss
    assert alone == pytest.approx(0.4**2 / energy, rel=0.02)
    in_stream = rank({"w": weight}, {"w": moments}, {"w": "w"}, 4 * energy, [form])["w"][0].loss
    assert in_stream == pytest.approx(alone / 4, rel=0.02)


def test_a_reader_counts_as_much_as_the_writer_of_its_block() -> None:
    weights = {
        name: RANDOM.standard_normal((128, 128)).astype(np.float32) for name in ("reader", "writer")
    }
    moments = {name: _seen(1.0, 128) for name in weights}
    writers = dict.fromkeys(weights, "writer")
    quiet, loud = (rank(weights, moments, writers, energy) for energy in (1e6, 1e5))
    for name in weights:
        assert loud[name][0].loss == pytest.approx(10 * quiet[name][0].loss)


def test_a_table_is_ranked_by_its_values() -> None:
    table = RANDOM.standard_normal((40, 128)).astype(np.float32)
    choices = rank({"wte": table}, {}, {}, 1.0)["wte"]
    assert 0 < choices[-1].loss < choices[0].loss < 0.05
