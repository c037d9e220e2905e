"""Error-compensated rounding."""

from itertools import product

import numpy as np
import pytest

from refact_edge.quant.gptq import compensate, pack_compensated, relations
from refact_edge.quant.pack import Codes, Floating, nearest, pack, unpack
from refact_edge.quant.schemes import Blocks, Quantized, Rows

ONE_STEP = np.ones(1, np.float32)


def _lost(weight: Floating, rounded: Floating, moments: np.ndarray) -> float:
    """Return the mean squared error of the product with activations of these moments."""
    difference = (weight - rounded).astype(np.float64)
    return float(np.einsum("nk,kl,nl->", difference, moments, difference))


def _correlated(columns: int, random: np.random.Generator) -> np.ndarray:
    """Return the moments of activations that lie near a space of a quarter of the dimensions."""
    basis = random.standard_normal((columns // 4, columns))
    noise = 0.1 * random.standard_normal((2048, columns))
    activations = random.standard_normal((2048, columns // 4)) @ basis + noise
    moments: np.ndarray = activations.T @ activations / len(activations)
    return moments


def test_a_column_makes_good_what_its_twin_lost() -> None:
    # Both columns always carry the same activation, so only the sum of the weights counts. Each
    # alone is rounded to 0; together they are 0.8, and 1 is nearer to that.
    weight = np.array([[0.4, 0.4]], np.float32)
    moments = np.ones((2, 2))
    assert nearest(weight, ONE_STEP, Rows()).sum() == 0
    assert compensate(weight, ONE_STEP, Rows(), relations(moments)).sum() == 1


def test_columns_that_have_nothing_in_common_are_rounded_to_the_nearest() -> None:
    random = np.random.default_rng(1)
    weight = (3 * random.standard_normal((5, 40))).astype(np.float32)
    scales = np.ones(5, np.float32)
    moments = np.diag(random.uniform(0.1, 9, 40))
    expected: Codes = nearest(weight, scales, Rows())
    np.testing.assert_array_equal(compensate(weight, scales, Rows(), relations(moments)), expected)


def test_it_comes_close_to_the_best_of_all_roundings() -> None:
    random = np.random.default_rng(2)
    nearest_total = best_total = ours_total = 0.0
    for _ in range(20):
        moments = _correlated(8, random)
        weight = random.uniform(-3, 3, (1, 8)).astype(np.float32)
        low = np.floor(weight)
        choices = [low + np.array(up, np.float32) for up in product((0, 1), repeat=8)]
        best_total += min(_lost(weight, choice, moments) for choice in choices)
        codes = compensate(weight, ONE_STEP, Rows(), relations(moments))
        ours_total += _lost(weight, codes.astype(np.float32), moments)
        rounded = nearest(weight, ONE_STEP, Rows()).astype(np.float32)
        nearest_total += _lost(weight, rounded, moments)
    assert best_total <= ours_total < 0.5 * nearest_total


@pytest.mark.parametrize("form", [Blocks(4, 32), Blocks(4, 128), Blocks(8, 32), Rows()])
def test_it_loses_less_than_rounding_to_nearest_on_correlated_activations(form: Quantized) -> None:
    random = np.random.default_rng(3)
    weight = random.standard_normal((64, 200)).astype(np.float32)
    moments = _correlated(200, random)
    ours = _lost(weight, unpack(pack_compensated(weight, form, relations(moments))), moments)
    assert ours < 0.6 * _lost(weight, unpack(pack(weight, form)), moments)


def test_columns_that_were_never_used_are_rounded_to_the_nearest() -> None:
    random = np.random.default_rng(4)
    weight = random.standard_normal((6, 64)).astype(np.float32)
    moments = _correlated(64, random)
    moments[10:20] = moments[:, 10:20] = 0
    scales = np.full(6, 0.1, np.float32)
    codes = compensate(weight, scales, Rows(), relations(moments))
    np.testing.assert_array_equal(codes[:, 10:20], nearest(weight, scales, Rows())[:, 10:20])
    nothing_used = compensate(weight, scales, Rows(), relations(np.zeros((64, 64))))
    np.testing.assert_array_equal(nothing_used, nearest(weight, scales, Rows()))


def test_the_reported_error_is_that_of_the_codes() -> None:
    random = np.random.default_rng(5)
    weight = random.standard_normal((8, 64)).astype(np.float32)
    packed = pack_compensated(weight, Blocks(4, 32), relations(_correlated(64, random)))
    squared = float(np.square(weight - unpack(packed)).sum())
    assert packed.error.squared == pytest.approx(squared, rel=1e-4)


@pytest.mark.parametrize("columns", [5, 128, 300])
def test_the_factor_is_that_of_the_inverse(columns: int) -> None:
    known = relations(_correlated(columns, np.random.default_rng(6)))
    damped = known.damped.astype(np.float64)[np.ix_(known.order, known.order)]
    factor = known.factor.astype(np.float64)
    np.testing.assert_array_equal(np.tril(factor, -1), 0)
    np.testing.assert_allclose(factor.T @ factor @ damped, np.eye(len(damped)), atol=2e-3)
