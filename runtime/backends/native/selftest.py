"""Whether the library's products and caches are right: beside numpy's numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from .library import BLOCK, Native


def right_product(
    codes: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return what `Native.product` should: in whole numbers and double precision."""
    rows, blocks, width = codes.shape
    if width == BLOCK:
        weights = codes.astype(np.int64) - 128
    else:
        weights = np.stack([codes & 15, codes >> 4], -1).reshape(rows, blocks, BLOCK) - np.int64(8)
    padded = np.zeros((len(x), blocks * BLOCK), np.float32)
    padded[:, : x.shape[1]] = x
    values = padded.reshape(len(x), blocks, BLOCK)
    steps = np.abs(values).max(2, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), steps, out=np.zeros_like(steps), where=steps > 0)
    # Doubles hold these whole numbers exactly, and are multiplied much faster.
    rounded = np.rint(values * inverse).astype(np.float64).transpose(1, 0, 2)
    whole = (rounded @ weights.astype(np.float64).transpose(1, 2, 0)).transpose(1, 2, 0)
    both = scales.astype(np.float64)[None] * steps.astype(np.float64).transpose(0, 2, 1)
    result: npt.NDArray[np.float32] = (whole * both).sum(2).astype(np.float32)
    return result


def right_product_by_row(
    codes: npt.NDArray[np.int8],
    scales: npt.NDArray[np.float32],
    x: npt.NDArray[np.float32],
    terms: int,
) -> npt.NDArray[np.float32]:
    """Return what `Native.product_by_row` should: in whole numbers and double precision."""
    result, left = np.zeros((len(x), len(scales))), x
    for _ in range(terms):
        steps = np.abs(left).max(1, keepdims=True) / np.float32(127)
        inverse = np.divide(np.float32(1), steps, out=np.zeros_like(steps), where=steps > 0)
        rounded = np.rint(left * inverse)
        both = steps.astype(np.float64) * scales.astype(np.float64)
        result += (rounded.astype(np.float64) @ codes.astype(np.float64)) * both
        left = left - rounded * steps
    return result.astype(np.float32)


def right_cached(kv_type: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what a cache should give back of a head's numbers, to the last bit."""
    if kv_type == "fp32":
        return x
    if kv_type == "fp16":
        most = np.float32(np.finfo(np.float16).max)
        return np.clip(x, -most, most).astype(np.float16).astype(np.float32)
    scale = np.abs(x).max() / np.float32(127)
    codes: npt.NDArray[np.float32] = np.rint(x * (np.float32(1) / scale)) * scale
    return codes


def computes_rightly(native: Native, cpu: str) -> bool:
    """Compare a kind of CPU's products and caches with right ones."""
    return (
        _multiplies_rightly(native, cpu)
        and _multiplies_rightly_by_row(native, cpu)
        and _caches_rightly(native, cpu)
    )


def _caches_rightly(native: Native, cpu: str) -> bool:
    """Have numbers of all sizes stored and read back, in heads of whole vectors and others."""
    rng = np.random.default_rng(0)
    for kv_type, size in product(("fp32", "fp16", "int8"), (64, 77)):
        for exponent in (-8, 0, 5):
            x = (rng.standard_normal(size) * 10.0**exponent).astype(np.float32)
            if not (native.cached(cpu, kv_type, x) == right_cached(kv_type, x)).all():
                return False
    return True


def _multiplies_rightly(native: Native, cpu: str) -> bool:
    """Multiply small matrices: both kinds of codes, few and many tokens, a short last block."""
    rng = np.random.default_rng(0)
    for width, rows, cols in product((BLOCK // 2, BLOCK), (64, 70), (300, 17 * BLOCK)):
        blocks = -(-cols // BLOCK)
        codes = rng.integers(0, 256, (rows, blocks, width), np.uint8)
        scales = rng.uniform(0.01, 1, (rows, blocks)).astype(np.float16)
        x = rng.standard_normal((20, cols)).astype(np.float32)
        right = right_product(codes, scales, x)
        for tokens in (1, 2, 4, 7, 13, len(x)):  # every way that some CPU has
            result = native.product(cpu, codes, scales, x[:tokens])
            if not np.abs(result - right[:tokens]).max() <= 1e-5 * np.abs(right).max():
                return False
    return True


def _multiplies_rightly_by_row(native: Native, cpu: str) -> bool:
    """Multiply small matrices by row: whole strips and others, few and many tokens, both terms."""
    rng = np.random.default_rng(0)
    for terms, rows, cols in product((1, 2), (64, 150), (300, 5 * BLOCK)):
        codes = rng.integers(-127, 128, (cols, rows)).astype(np.int8)
        scales = rng.uniform(0.01, 1, rows).astype(np.float32)
        x = rng.standard_normal((40, cols)).astype(np.float32)
        right = right_product_by_row(codes, scales, x, terms)
        for tokens in (1, 2, 4, 5, 7, 17, len(x)):  # every way that some CPU has
            result = native.product_by_row(cpu, codes, scales, x[:tokens], terms)
            if not np.abs(result - right[:tokens]).max() <= 1e-5 * np.abs(right).max():
                return False
    return True
