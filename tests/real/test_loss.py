"""What real weights lose by rounding, and what the order of a prompt is worth to a real model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import pytest

import refact_edge
from refact_edge import Model
from refact_edge.export.parity import sample_ids
from refact_edge.quant.eval.likelihood import Reader, log_probabilities
from refact_edge.quant.texts.holes import LINE, Hole, cut_holes
from refact_edge.quant.texts.shipped import REPORT
from refact_edge.runtime.bundle.contract import Bundle
from refact_edge.runtime.errors import RefactEdgeWarning

TOKENS = 1024
# Nats, and the share of equal first choices.
MOST_LOST = {"fp16": (1e-4, 0.99), "int8": (1e-3, 0.97), "int4": (0.06, 0.85)}
# What does not reach that loses no more than this: docs/real-weights.md has what was tried.
NOT_REACHED = {"int8": (0.01, 0.95)}
HOLES = 15


def log_softmax(model: Model, ids: np.ndarray) -> np.ndarray:
    """Return log-probabilities [T, V] of all ids after each."""
    logits = model.session.step(ids, model.session.new_cache(), len(ids)).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits[:, : model.tokens.size]


@pytest.fixture(scope="module")
def exact(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    ids = sample_ids(bundle, TOKENS)
    model = refact_edge.load(bundle.path, variant="fp32")
    scores = log_softmax(model, ids).astype(np.float32)
    model.session.close()
    return ids, scores


@pytest.mark.parametrize("variant", list(MOST_LOST))
def test_a_variant_loses_little_of_real_weights(
    variant: str, bundle: Bundle, exact: tuple[np.ndarray, np.ndarray]
) -> None:
    ids, want = exact
    slow = pytest.warns(RefactEdgeWarning, match="no kernels on a CPU")
    with slow if variant == "fp16" else contextlib.nullcontext():
        model = refact_edge.load(bundle.path, variant=variant, device="cpu")
    got = log_softmax(model, ids)
    model.session.close()
    kl = float((np.exp(want) * (want - got)).sum(axis=1).mean())
    same = float((want.argmax(1) == got.argmax(1)).mean())
    print(f"{variant}: mean KL {kl:.2e}, first choices {same:.2%}, {TOKENS} positions")
    most, least = MOST_LOST[variant]
    reached = kl <= most and same >= least
    if variant in NOT_REACHED and not reached:
        most, least = NOT_REACHED[variant]
        assert kl <= most
        assert same >= least
        pytest.xfail(f"{variant} loses {kl:.2e}, and is to lose {MOST_LOST[variant][0]:.0e}")
    assert kl <= most
    assert same >= least


@pytest.fixture(scope="module")
def fp32(bundle: Bundle) -> Iterator[Model]:
    model = refact_edge.load(bundle.path, variant="fp32")
    yield model
    model.session.close()


def bits_a_byte(model: Model, holes: Sequence[Hole], order: str) -> float:
    """Return what the true lines cost in an order of the prompt, or with the prefix alone."""
    reader = Reader(model.session, model.layouts.end_id, model.layouts.special_ids)
    encode = model.tokens.encode
    bits = 0.0
    for hole in holes:
        before = "\n".join(hole.prefix.split("\n")[-25:])
        behind = "\n".join(hole.suffix.split("\n")[:12])
        prompt = (
            model.layouts.fim_ids(order, encode(before), encode(behind))
            if order != "alone"
            else encode(before)
        )
        bits += reader.cost(prompt, encode(hole.middle)).bits
    return bits / sum(len(hole.middle.encode()) for hole in holes)


def test_the_trained_order_costs_fewest_bits_a_byte(fp32: Model) -> None:
    holes = cut_holes(REPORT.read(), [LINE], HOLES, 1)
    orders = [name for name, parts in fp32.layouts.fim.items() if "suffix" in parts]
    costs = {name: bits_a_byte(fp32, holes, name) for name in (*orders, "alone")}
    print(", ".join(f"{name} {cost:.3f} bits a byte" for name, cost in costs.items()))
    assert all(math.isfinite(cost) and cost < 4 for cost in costs.values())
    if orders:
        assert min(costs, key=lambda name: costs[name]) == fp32.layouts.fim_default
        assert costs[fp32.layouts.fim_default] < 0.9 * costs["alone"]


def test_log_probabilities_of_a_real_text_are_those_of_a_model_that_knows_it(fp32: Model) -> None:
    ids = fp32.tokens.encode("import os\nimport sys\n\n\ndef main() -> None:\n    ")
    Random(0).shuffle(mixed := list(ids))

    def cost(order: list[int]) -> float:
        array = np.array(order, np.int64)
        rows = fp32.session.step(array, fp32.session.new_cache(), len(array))
        return -float(log_probabilities(rows[:-1, : fp32.tokens.size], array[1:]).mean())

    assert cost(ids) < 0.5 * cost(mixed)
