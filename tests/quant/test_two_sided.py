"""Rounding for both sides of a product: what is known of it, and what it wins."""

import numpy as np
import numpy.typing as npt
import pytest

from refact_edge.quant.gptq import pack_compensated, relations
from refact_edge.quant.pack import unpack
from refact_edge.quant.schemes import Blocks, Quantized, Rows
from refact_edge.quant.two_sided import outputs_of, pack_two_sided

Floats = npt.NDArray[np.float32]
FORMS = [Blocks(4, 32), Blocks(8, 128), Rows()]


def _second(random: np.random.Generator, size: int, rank: int) -> npt.NDArray[np.float64]:
    """Return moments in which a few directions are loud."""
    loud = random.normal(0, 1, (rank, size)) * 3
    return loud.T @ loud / rank + 0.05 * np.eye(size)


def _loss(
    error: Floats, inputs: npt.NDArray[np.float64], outputs: npt.NDArray[np.float64]
) -> float:
    return float(np.einsum("nm,nk,kl,ml->", outputs, error, inputs, error))


def _case(seed: int) -> tuple[Floats, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    weight = random.normal(0, 1, (48, 64)).astype(np.float32)
    return weight, _second(random, 64, 12), _second(random, 48, 6)


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_do_not_stand_in_for_each_other_are_rounded_each_by_itself(
    form: Quantized,
) -> None:
    weight, inputs, _ = _case(0)
    activations = relations(inputs)
    even = outputs_of(np.eye(len(weight)))
    both = pack_two_sided(weight, form, activations, [even], fewest_rows=3)
    alone = pack_compensated(weight, form, activations)
    np.testing.assert_array_equal(both.parts["codes"], alone.parts["codes"])
    # Sums of a group are added up in another order than those of all rows.
    mine, others = (packed.parts["scales"].astype(np.float32) for packed in (both, alone))
    np.testing.assert_allclose(mine, others, rtol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_it_loses_less_than_rounding_for_inputs_alone(form: Quantized) -> None:
    ratios = []
    for seed in range(4):
        weight, inputs, outputs = _case(seed)
        activations = relations(inputs)
        both = pack_two_sided(weight, form, activations, [outputs_of(outputs)], fewest_rows=3)
        alone = pack_compensated(weight, form, activations)
        losses = [_loss(unpack(packed) - weight, inputs, outputs) for packed in (both, alone)]
        ratios.append(losses[0] / losses[1])
    assert np.mean(ratios) < 0.85, ratios


def test_later_rows_move_to_where_the_loss_is_least() -> None:
    # One output is another's double: what the first loses by e, the second makes good by -e / 2,
    # as far as its own grid allows. A fine grid allows it.
    weight = np.array([[0.3, -1.0], [0.0, 127.0]], np.float32)
    direction = np.array([2.0, 1.0])
    outputs = np.outer(direction, direction)
    both = unpack(
        pack_two_sided(
            np.tile(weight, (1, 16)),
            Rows(),
            relations(np.eye(32)),
            [outputs_of(outputs)],
            fewest_rows=1,
        )
    )
    # Its damping takes 0.3 of the mean diagonal, 0.75, beside 1: 2 / 1.75 of the error comes back.
    lost = both[0] - np.tile(weight[0], 16)
    wish = np.tile(weight[1], 16) - 2 / 1.75 * lost
    step = np.abs(both[1]).max() / 127
    assert np.abs(both[1] - wish).max() <= 0.51 * step


def test_runs_of_rows_are_rounded_apart() -> None:
    weight, inputs, _ = _case(1)
    random = np.random.default_rng(9)
    halves = [_second(random, 24, 5) for _ in range(2)]
    activations = relations(inputs)
    form = Blocks(4, 32)
    both = pack_two_sided(weight, form, activations, [outputs_of(half) for half in halves])
    for rows, half in ((slice(0, 24), halves[0]), (slice(24, 48), halves[1])):
        alone = pack_two_sided(weight[rows], form, activations, [outputs_of(half)])
        np.testing.assert_array_equal(unpack(both)[rows], unpack(alone))
