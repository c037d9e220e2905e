"""Moving scale between activations and weights."""

from collections.abc import Sequence

import numpy as np
import pytest

from refact_edge.quant.balance import Fold, balance, best_factors
from refact_edge.quant.moments import Moments
from refact_edge.quant.pack import Floating, Quantized, largest_scales, nearest, values
from refact_edge.quant.schemes import Blocks, Rows

FORMS = [Rows(), Blocks(4, 32)]


def _seen(texts: Sequence[Floating]) -> Moments:
    moments = Moments()
    for text in texts:
        moments.add(text)
    return moments


def _rounded(matrix: Floating, form: Quantized) -> Floating:
    scales = largest_scales(matrix, form)
    return values(nearest(matrix, scales, form), scales, form)


@pytest.mark.parametrize("form", FORMS)
def test_factors_change_no_product(form: Quantized) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 32)).astype(np.float32)
    maker = random.standard_normal((48, 32)).astype(np.float32)
    maker[20] *= 60  # row 20 makes channel 4 of the 32 that begin at row 16
    user = random.standard_normal((10, 64)).astype(np.float32)

    def product(maker: Floating, user: Floating) -> Floating:
        channels = x @ maker.T[:, 16:]
        both = np.concatenate([channels, -channels], axis=1)
        result: Floating = both @ user.T
        return result

    channels = x @ maker.T[:, 16:]
    seen = _seen([np.concatenate([channels, -channels], axis=1)])
    fold = Fold("maker", 16, 32, ("user",), repeats=2)
    weights, moments = balance({"maker": maker, "user": user}, {"user": seen}, [fold], form)
    assert not np.array_equal(weights["maker"], maker)
    np.testing.assert_array_equal(weights["maker"][:16], maker[:16])
    moved = product(weights["maker"], weights["user"])
    np.testing.assert_allclose(moved, product(maker, user), rtol=1e-4, atol=1e-3)
    channels = x @ weights["maker"].T[:, 16:]
    again = _seen([np.concatenate([channels, -channels], axis=1)])
    np.testing.assert_allclose(moments["user"].second, again.second, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moments["user"].largest, again.largest, rtol=1e-5)


def test_a_norm_is_divided_by_value() -> None:
    random = np.random.default_rng(1)
    norm = np.ones((1, 32), np.float32)
    x = random.standard_normal((64, 32)).astype(np.float32)
    x[:, 3] *= 100
    user = random.standard_normal((8, 32)).astype(np.float32)
    fold = Fold("norm", 0, 32, ("user",))
    weights, _ = balance({"norm": norm, "user": user}, {"user": _seen([x])}, [fold], Rows())
    np.testing.assert_allclose(weights["norm"] * weights["user"], user, rtol=1e-6)
    assert weights["norm"][0, 3] < 0.2 * np.median(weights["norm"])


def test_one_loud_channel_is_turned_down_where_activations_are_rounded() -> None:
    random = np.random.default_rng(2)
    x = random.standard_normal((200, 64)).astype(np.float32)
    x[:, 7] *= 50
    weight = random.standard_normal((30, 64)).astype(np.float32)
    exact = x @ weight.T
    plain = _rounded(x, Rows()) @ _rounded(weight, Rows()).T
    factors = best_factors([weight], _seen([x]), Fold("", 0, 64, ("w",)), Rows())
    moved = _rounded(x / factors, Rows()) @ _rounded(weight * factors, Rows()).T
    # A scale a token is set by channel 7 alone; the other 63 get a fiftieth of the codes.
    assert np.square(moved - exact).mean() < 0.1 * np.square(plain - exact).mean()


def test_columns_that_count_are_rounded_better_where_only_weights_are() -> None:
    random = np.random.default_rng(3)
    x = random.standard_normal((200, 64)).astype(np.float32)
    x[:, ::16] *= 30
    weight = random.standard_normal((30, 64)).astype(np.float32)
    form = Blocks(4, 32)
    plain = x @ (_rounded(weight, form) - weight).T
    factors = best_factors([weight], _seen([x]), Fold("", 0, 64, ("w",)), form)
    moved = (x / factors) @ (_rounded(weight * factors, form) - weight * factors).T
    assert np.square(moved).mean() < 0.6 * np.square(plain).mean()


def test_nothing_is_moved_where_nothing_was_seen() -> None:
    seen = _seen([np.zeros((4, 32), np.float32)])
    factors = best_factors([np.ones((2, 32), np.float32)], seen, Fold("", 0, 32, ("w",)), Rows())
    assert (factors == 1).all()
