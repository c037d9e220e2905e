"""Packing weights: codes, scales, and the error that is reported."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refact_edge.quant.pack import pack, packed_bytes, unpack
from refact_edge.quant.schemes import SCHEMES, Blocks, Floats, Rows, require_schemes
from refact_edge.runtime.errors import OptionError

RANDOM = np.random.default_rng(0)


def _weight(rows: int, columns: int) -> np.ndarray:
    return RANDOM.standard_normal((rows, columns)).astype(np.float32)


def test_int8_round_trip_stays_within_half_a_step() -> None:
    weight = _weight(7, 300)
    packed = pack(weight, Rows())
    assert packed.parts["codes"].dtype == np.int8
    steps = packed.parts["scales"][:, None].astype(np.float32)
    assert np.all(np.abs(unpack(packed) - weight) <= steps / 2 + 1e-6)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_int4_round_trip_stays_within_a_step_and_mostly_half(size: int) -> None:
    weight = _weight(5, 2 * size)
    packed = pack(weight, Blocks(4, size))
    steps = np.repeat(np.abs(packed.parts["scales"]), size, axis=1)
    difference = np.abs(unpack(packed) - weight)
    # The end opposite to a block's largest value has one code less, so it may be clipped.
    assert np.all(difference <= steps + 1e-6)
    assert np.mean(difference <= steps / 2 + 1e-6) > 0.97


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 70), seed=st.integers(0, 1000))
def test_any_shape_comes_back_in_its_shape(rows: int, columns: int, seed: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    for form in (Rows(), Blocks(4, 32), Blocks(8, 32), Floats("float16"), Floats("float32")):
        assert unpack(pack(weight, form)).shape == weight.shape


def test_a_short_last_block_is_padded_without_changing_its_scale() -> None:
    weight = _weight(3, 40)
    packed = pack(weight, Blocks(4, 32))
    assert packed.parts["codes"].shape == (3, 2, 16)
    alone = pack(weight[:, 32:], Blocks(4, 32))
    np.testing.assert_array_equal(packed.parts["scales"][:, 1:], alone.parts["scales"])


def test_low_nibble_holds_the_first_code() -> None:
    weight = np.zeros((1, 32), np.float32)
    weight[0, 0], weight[0, 1] = -8, 7
    codes = pack(weight, Blocks(4, 32)).parts["codes"]
    assert codes[0, 0, 0] == 0 | 15 << 4


def test_the_largest_value_of_a_block_is_kept_but_for_the_scales_type() -> None:
    weight = _weight(4, 128)
    at = np.abs(weight).argmax(axis=1)
    rows = np.arange(4)
    kept = unpack(pack(weight, Blocks(4, 128)))[rows, at]
    np.testing.assert_allclose(kept, weight[rows, at], rtol=2**-11)


@pytest.mark.parametrize("value", [0.0, 1e-45, -1e-40])
def test_zero_and_denormal_blocks_come_back_as_zero(value: float) -> None:
    weight = np.full((2, 64), value, np.float32)
    for form in (Rows(), Blocks(4, 32)):
        restored = unpack(pack(weight, form))
        assert np.all(np.isfinite(restored))
        np.testing.assert_allclose(restored, 0, atol=1e-38)


def test_the_reported_error_is_the_error() -> None:
    weight = _weight(4100, 32)  # more rows than are packed at once
    packed = pack(weight, Blocks(4, 32))
    difference = (unpack(packed) - weight).astype(np.float64)
    assert packed.error.largest == np.abs(difference).max()
    exact = np.linalg.norm(difference) / np.linalg.norm(weight.astype(np.float64))
    assert packed.error.relative == pytest.approx(exact, rel=1e-4)


def test_scales_too_small_for_fp16_keep_fp32() -> None:
    weight = _weight(4, 64)
    assert pack(weight, Blocks(4, 32)).parts["scales"].dtype == np.float16
    small = pack(weight * np.float32(1e-6), Blocks(4, 32))
    assert small.parts["scales"].dtype == np.float32
    assert small.error.relative == pytest.approx(pack(weight, Blocks(4, 32)).error.relative, 1e-2)


@pytest.mark.parametrize("size", [1e-6, 1e-9])
def test_a_quiet_block_among_loud_ones_costs_no_bytes_and_stays_quiet(size: float) -> None:
    weight = _weight(4, 64)
    weight[2] *= np.float32(size)
    found = pack(weight, Blocks(4, 32))
    assert found.parts["scales"].dtype == np.float16
    assert np.abs(unpack(found)[2] - weight[2]).max() < max(size, 2**-24)


@pytest.mark.parametrize("form", [Blocks(2, 32), Blocks(4, 128), Blocks(8, 64), Rows()])
def test_packed_bytes_are_those_of_the_parts(form: Blocks | Rows) -> None:
    packed = pack(_weight(5, 200), form)
    assert packed_bytes((5, 200), form) == sum(part.nbytes for part in packed.parts.values())


def test_smaller_blocks_lose_less() -> None:
    weight = _weight(64, 1024)
    errors = [pack(weight, Blocks(4, size)).error.relative for size in (32, 64, 128)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2]


def test_fp32_loses_nothing_and_fp16_refuses_what_it_cannot_hold() -> None:
    weight = _weight(3, 8)
    assert pack(weight, Floats("float32")).error.squared == 0
    weight[1, 1] = 70000
    with pytest.raises(OverflowError, match="beyond 65504"):
        pack(weight, Floats("float16"))


def test_schemes_come_in_table_order_and_unknown_ones_are_named() -> None:
    assert [s.name for s in require_schemes(["int4", "fp32"])] == ["fp32", "int4"]
    with pytest.raises(OptionError, match=r"'int5'; expected: fp32, fp16, int8, int4"):
        require_schemes(["int8", "int5"])
    with pytest.raises(OptionError, match="twice"):
        require_schemes(["int8", "int8"])
    with pytest.raises(OptionError, match=r"\(none\)"):
        require_schemes([])


def test_every_scheme_keeps_its_name() -> None:
    assert all(name == scheme.name for name, scheme in SCHEMES.items())
