"""Types of KV caches: how a token's keys, or values, lie in a layer's buffer.

fp32 and fp16 are what graphs have; int8 is the native kernels' alone, a scale a token and head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bundle.contract import Sizes


@dataclass(frozen=True)
class KvType:
    """A type: its name, the items of a row, and the bytes of a scale before each head's items."""

    name: str
    dtype: np.dtype[np.generic]
    scale_bytes: int = 0

    def row_items(self, sizes: Sizes) -> int:
        """Return the items of one token's keys, or values, in one layer: of all G heads."""
        return sizes.kv_heads * (self.scale_bytes // self.dtype.itemsize + sizes.head_size)

    def row_bytes(self, sizes: Sizes) -> int:
        """Return the bytes of such a row."""
        return self.row_items(sizes) * self.dtype.itemsize

    def token_bytes(self, sizes: Sizes) -> int:
        """Return the bytes of a token in all layers."""
        return 2 * sizes.layers * self.row_bytes(sizes)


FP32 = KvType("fp32", np.dtype(np.float32))
FP16 = KvType("fp16", np.dtype(np.float16))
INT8 = KvType("int8", np.dtype(np.uint8), scale_bytes=4)
KV_TYPES = {one.name: one for one in (FP32, FP16, INT8)}  # the largest first


def graph_type(name: str) -> KvType:
    """Return the type of a graph's caches; `name` is numpy's, as a manifest has it."""
    return {str(one.dtype): one for one in (FP32, FP16)}[name]
