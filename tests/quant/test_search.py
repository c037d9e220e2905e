"""Scales of least squared error."""

import numpy as np
import pytest

from refact_edge.quant.pack import Floating, largest_scales, nearest, values
from refact_edge.quant.schemes import Blocks, Rows
from refact_edge.quant.search import best_scales

RANDOM = np.random.default_rng(0)
FORMS = [Rows(), Blocks(4, 32), Blocks(4, 128), Blocks(8, 32)]


def _cost(weight: Floating, scales: Floating, form: Rows | Blocks, used: np.ndarray) -> float:
    rounded = values(nearest(weight, scales, form), scales, form)
    return float((used * np.square(weight - rounded)).sum())


@pytest.mark.parametrize("form", FORMS)
def test_no_scale_is_worse_than_the_one_with_which_the_largest_fits(form: Rows | Blocks) -> None:
    weight = RANDOM.standard_normal((9, 300)).astype(np.float32)
    ones = np.ones(300)
    searched = _cost(weight, best_scales(weight, form), form, ones)
    assert searched < _cost(weight, largest_scales(weight, form), form, ones)


def test_values_on_a_grid_are_kept_exactly() -> None:
    form = Blocks(4, 32)
    codes = RANDOM.integers(-8, 8, (4, 64)).astype(np.float32)
    codes[:, 0] = codes[:, 32] = -8  # each block uses the whole range
    weight = codes * np.float32(0.25)
    scales = best_scales(weight, form)
    np.testing.assert_allclose(values(nearest(weight, scales, form), scales, form), weight)


def test_what_is_used_most_is_rounded_best() -> None:
    weight = RANDOM.standard_normal((50, 32)).astype(np.float32)
    used = np.where(np.arange(32) < 8, 100.0, 0.01)
    form = Blocks(4, 32)
    informed = _cost(weight, best_scales(weight, form, used), form, used)
    assert informed < 0.8 * _cost(weight, best_scales(weight, form), form, used)


@pytest.mark.parametrize("form", FORMS)
def test_zeros_and_unused_columns_give_finite_scales(form: Rows | Blocks) -> None:
    weight = np.zeros((3, 64), np.float32)
    weight[1, 5] = 1e-30
    for used in (None, np.zeros(64), np.eye(64)[0]):
        scales = best_scales(weight, form, used)
        assert np.isfinite(scales).all()
        assert (scales != 0).all()
