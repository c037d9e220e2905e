"""The ranking by which bytes are spent."""

import numpy as np
import pytest

from refact_edge.quant.moments import Moments
from refact_edge.quant.pack import Floating, nearest, values
from refact_edge.quant.schemes import Blocks, Floats
from refact_edge.quant.search import best_scales
from refact_edge.quant.sensitivity import (
    FORMS,
    Readout,
    as_kl,
    rank,
    rank_head,
    rank_minded,
    rank_table,
)

RANDOM = np.random.default_rng(0)


def _seen(size: float, columns: int) -> Moments:
    moments = Moments()
    moments.add((size * RANDOM.standard_normal((400, columns))).astype(np.float32))
    return moments


def test_more_bits_lose_less_and_take_more() -> None:
    weight = RANDOM.standard_normal((64, 256)).astype(np.float32)
    choices = rank({"w": weight}, {"w": _seen(1.0, 256)}, {}, 1.0)["w"]
    assert [choice.form for choice in choices] == list(FORMS)
    assert [choice.bytes for choice in choices] == sorted(choice.bytes for choice in choices)
    losses = [choice.loss for choice in choices]
    assert losses == sorted(losses, reverse=True)


def test_a_writer_adds_the_error_of_its_output() -> None:
    weight = np.eye(128, dtype=np.float32) * 7
    weight[0, 1] = 0.4  # a code is a whole number here: this becomes 0
    moments = Moments()
    moments.add(np.eye(128, dtype=np.float32) * np.sqrt(128))  # each input has a mean square of 1
    found = rank({"w": weight}, {"w": moments}, {"w": "w"}, 5.0, [Blocks(4, 128)])["w"][0].loss
    assert found == pytest.approx(0.4**2, rel=0.02)


def test_a_reader_spoils_its_share_of_what_its_block_writes() -> None:
    weights = {
        name: RANDOM.standard_normal((128, 128)).astype(np.float32) for name in ("reader", "writer")
    }
    moments = {"reader": _seen(1.0, 128), "writer": _seen(1.0, 128)}
    louder = {"reader": moments["reader"], "writer": _seen(3.0, 128)}
    writers = dict.fromkeys(weights, "writer")
    quiet, loud = (rank(weights, seen, writers, 1.0) for seen in (moments, louder))
    for name in weights:
        assert loud[name][0].loss == pytest.approx(9 * quiet[name][0].loss, rel=0.1)


def test_a_table_is_ranked_by_its_values() -> None:
    table = RANDOM.standard_normal((40, 128)).astype(np.float32)
    choices = rank({"wte": table}, {}, {}, 100.0)["wte"]
    assert 0 < choices[-1].loss < choices[0].loss < 5


def _softmax(logits: Floating) -> Floating:
    likely: Floating = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    return likely


def _kl(logits: Floating, other: Floating) -> float:
    likely, unlikely = _softmax(logits), _softmax(other)
    return float((likely * np.log(likely / unlikely)).sum(axis=1).mean())


def test_the_heads_loss_is_about_the_kl_of_its_logits() -> None:
    weight = (0.15 * RANDOM.standard_normal((200, 128))).astype(np.float32)
    x = RANDOM.standard_normal((2000, 128)).astype(np.float32)
    readout, moments = Readout(weight), Moments()
    readout.add(x @ weight.T)
    moments.add(x)
    for choice in rank_head(weight, moments, readout):
        assert not isinstance(choice.form, Floats)
        scales = best_scales(weight, choice.form, np.diagonal(moments.second))
        rounded = values(nearest(weight, scales, choice.form), scales, choice.form)
        assert choice.loss == pytest.approx(_kl(x @ weight.T, x @ rounded.T), rel=0.25)


def test_noise_in_the_stream_costs_about_what_its_energy_says() -> None:
    weight = (0.15 * RANDOM.standard_normal((200, 128))).astype(np.float32)
    stream = (3 * RANDOM.standard_normal((2000, 128))).astype(np.float32)
    noise = (0.3 * RANDOM.standard_normal((2000, 128))).astype(np.float32)

    def logits(stream: Floating) -> Floating:
        normed = stream / np.sqrt(np.square(stream).mean(axis=1, keepdims=True))
        result: Floating = normed @ weight.T
        return result

    readout = Readout(weight)
    readout.add(logits(stream))
    energy, wrong = (float(np.square(part).sum(axis=1).mean()) for part in (stream, noise))
    expected = _kl(logits(stream), logits(stream + noise))
    assert as_kl(wrong, readout.gain, energy, energy) == pytest.approx(expected, rel=0.25)
    assert as_kl(wrong, readout.gain, energy / 4, energy) == pytest.approx(2 * expected, rel=0.25)
    assert as_kl(wrong, readout.gain, 0.0, energy) == 0


def test_what_gradients_say_of_a_weight_is_half_the_square_of_what_its_error_does() -> None:
    weight = RANDOM.standard_normal((48, 128)).astype(np.float32)
    x = (RANDOM.standard_normal((3000, 128)) * np.linspace(0.1, 2, 128)).astype(np.float32)
    g = (RANDOM.standard_normal((3000, 48)) * np.linspace(0.1, 2, 48)).astype(np.float32)
    second = x.T @ x / len(x)
    parts = np.stack([run.T @ run / len(g) for run in np.split(g, 3, axis=1)])
    for choice in rank_minded(weight, second, parts):
        assert isinstance(choice.form, Blocks)
        scales = best_scales(weight, choice.form, np.diagonal(second))
        error = weight - values(nearest(weight, scales, choice.form), scales, choice.form)
        runs = np.arange(48) // 16
        each = [(g[:, runs == run] @ error[runs == run] @ x[:500].T) for run in range(3)]
        expected = 0.5 * sum(float(np.square(part).mean()) for part in each)
        assert choice.loss == pytest.approx(expected, rel=0.15)


def test_a_table_loses_where_it_is_read_and_where_gradients_look() -> None:
    table = RANDOM.standard_normal((40, 128)).astype(np.float32)
    table[1] *= 50  # a row that is never read
    look = np.zeros((128, 128), np.float32)
    look[:64, :64] = np.eye(64)
    read = np.array([2, 3, 3, 5])
    for choice in rank_table(table, read, look):
        assert isinstance(choice.form, Blocks)
        scales = best_scales(table, choice.form, np.diagonal(look))
        wrong = table - values(nearest(table, scales, choice.form), scales, choice.form)
        seen = np.square(wrong[read][:, :64]).sum(axis=1)
        assert choice.loss == pytest.approx(0.5 * float(seen.mean()), rel=1e-3)
