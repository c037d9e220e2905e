"""Scales refitted and codes improved for known moments."""

from itertools import product

import numpy as np
import pytest

from refact_edge.quant.gptq import compensate, relations
from refact_edge.quant.pack import Codes, Floating, as_stored, nearest, values
from refact_edge.quant.refine import descend, refit
from refact_edge.quant.schemes import Blocks, Quantized, Rows
from refact_edge.quant.search import best_scales


def _moments(columns: int, random: np.random.Generator) -> Floating:
    basis = random.standard_normal((columns // 4, columns))
    x = random.standard_normal((2048, columns // 4)) @ basis
    x += 0.1 * random.standard_normal(x.shape)
    return relations(x.T @ x / len(x)).damped


def _lost(
    weight: Floating, codes: Codes, scales: Floating, form: Quantized, moments: Floating
) -> float:
    difference = (weight - values(codes, scales, form)).astype(np.float64)
    return float(np.einsum("nk,kl,nl->", difference, moments, difference))


def test_refit_finds_the_scales_that_made_the_weight() -> None:
    random = np.random.default_rng(0)
    form = Blocks(4, 32)
    codes = random.integers(-8, 8, (6, 96)).astype(np.int8)
    true = as_stored(random.uniform(0.5, 1.0, (6, 3)).astype(np.float32), form)
    start = true * np.float32(1.3)
    found = refit(values(codes, true, form), codes, start, form, _moments(96, random))
    np.testing.assert_allclose(found, true, rtol=1e-3)


def test_a_block_of_zeros_keeps_its_scale() -> None:
    random = np.random.default_rng(1)
    form = Blocks(4, 32)
    codes = random.integers(-8, 8, (2, 64)).astype(np.int8)
    codes[:, 32:] = 0
    scales = np.ones((2, 2), np.float32)
    found = refit(values(codes, scales, form), codes, scales, form, _moments(64, random))
    np.testing.assert_allclose(found, 1, rtol=1e-3)


def test_descent_ends_where_no_single_code_can_be_better() -> None:
    # Three columns that lean on each other: small enough to try every neighbour.
    random = np.random.default_rng(2)
    moments = _moments(12, random)[:3, :3].copy()
    form, scales = Rows(), np.ones(1, np.float32)
    for _ in range(50):
        weight = random.uniform(-4, 4, (1, 3)).astype(np.float32)
        codes = nearest(weight, scales, form)
        for _ in range(5):
            codes = descend(weight, codes, scales, form, moments)
        least = _lost(weight, codes, scales, form, moments)
        for column, step in product(range(3), (-1, 1)):
            other = codes.copy()
            other[0, column] += step
            assert least <= _lost(weight, other, scales, form, moments) * (1 + 1e-5) + 1e-9


@pytest.mark.parametrize("form", [Blocks(4, 32), Blocks(4, 128), Blocks(2, 32), Blocks(8, 64)])
def test_each_step_loses_less_than_the_one_before(form: Blocks) -> None:
    random = np.random.default_rng(3)
    weight = random.standard_normal((40, 200)).astype(np.float32)
    moments = _moments(200, random)
    scales = best_scales(weight, form, np.diagonal(moments))
    codes = compensate(weight, scales, form, relations(moments))
    first = _lost(weight, codes, scales, form, moments)
    scales = refit(weight, codes, scales, form, moments)
    second = _lost(weight, codes, scales, form, moments)
    codes = descend(weight, codes, scales, form, moments)
    third = _lost(weight, codes, scales, form, moments)
    assert third < second < first
