"""Orthogonal rotations of activations and weights."""

import numpy as np
import pytest

from refact_edge.quant.pack import Floating, largest_scales, nearest, pack, unpack, values
from refact_edge.quant.rotation import rotate_columns_in_place, rotate_rows_in_place, rotation
from refact_edge.quant.schemes import Blocks, Quantized, Rows


@pytest.mark.parametrize("size", [1, 2, 32, 48, 64, 80, 256])
def test_a_rotation_is_orthogonal_and_keeps_equal_numbers(size: int) -> None:
    matrix = rotation(size).astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-6)
    np.testing.assert_allclose(matrix @ np.ones(size), np.ones(size), atol=1e-6)


def test_a_rotation_of_a_power_of_two_is_exact() -> None:
    matrix = rotation(256)
    np.testing.assert_array_equal(matrix * 256, np.rint(matrix * 256))
    exact = matrix.astype(np.float64) * 256
    np.testing.assert_array_equal(exact @ exact.T, 256**2 * np.eye(256))


def test_layer_norm_does_the_same_before_and_after() -> None:
    x = np.random.default_rng(0).standard_normal((5, 64)) + 3

    def norm(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        result: np.ndarray = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True))
        return result

    np.testing.assert_allclose(norm(x @ rotation(64).T), norm(x) @ rotation(64).T, atol=1e-6)


def test_maker_and_reader_rotated_alike_give_the_same_product() -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((7, 16)).astype(np.float32)
    maker = random.standard_normal((80, 16)).astype(np.float32)
    reader = random.standard_normal((10, 64)).astype(np.float32)
    rotated = maker.copy()
    rotate_rows_in_place(rotated, 32, first=16)
    np.testing.assert_array_equal(rotated[:16], maker[:16])
    product = (x @ rotated[16:].T) @ _reading(reader, 32).T
    np.testing.assert_allclose(product, (x @ maker[16:].T) @ reader.T, rtol=1e-4, atol=1e-3)


def _reading(weight: Floating, size: int) -> Floating:
    rotated = weight.copy()
    rotate_columns_in_place(rotated, size)
    return rotated


def _rounded(matrix: Floating, form: Quantized) -> Floating:
    scales = largest_scales(matrix, form)
    return values(nearest(matrix, scales, form), scales, form)


def test_one_loud_channel_no_longer_takes_all_codes() -> None:
    random = np.random.default_rng(2)
    x = random.standard_normal((200, 64)).astype(np.float32)
    x[:, 7] *= 50
    weight = random.standard_normal((30, 64)).astype(np.float32)
    exact = x @ weight.T
    plain = _rounded(x, Rows()) @ weight.T
    rotated = _rounded(x @ rotation(64).T, Rows()) @ _reading(weight, 64).T
    assert np.square(rotated - exact).mean() < 0.2 * np.square(plain - exact).mean()


@pytest.mark.parametrize("form", [Blocks(4, 32), Blocks(4, 64), Rows()])
def test_weights_of_loud_channels_round_better(form: Quantized) -> None:
    random = np.random.default_rng(3)
    loudness = np.exp(random.standard_normal(64))
    weight = (random.standard_normal((100, 64)) * loudness).astype(np.float32)
    rotated = _reading(weight, 64)
    plain = np.square(unpack(pack(weight, form)) - weight).mean()
    assert np.square(unpack(pack(rotated, form)) - rotated).mean() < 0.9 * plain
