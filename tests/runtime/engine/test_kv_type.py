"""How large rows of caches are, by type."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import SIZES

from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.kv_type import FP16, FP32, KV_TYPES, graph_type


@pytest.mark.parametrize(("name", "head_bytes"), [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_a_row_holds_all_heads_and_the_scales_of_int8(name: str, head_bytes: int) -> None:
    kv_type, scale = KV_TYPES[name], 4 if name == "int8" else 0
    row = SIZES.kv_heads * (scale + head_bytes * SIZES.head_size)
    assert kv_type.row_bytes(SIZES) == row
    assert kv_type.token_bytes(SIZES) == 2 * SIZES.layers * row


@pytest.mark.parametrize("name", KV_TYPES)
def test_a_cache_of_any_type_lies_row_behind_row(name: str) -> None:
    kv_type = KV_TYPES[name]
    cache = KvCache.in_memory(SIZES, kv_type)
    first = cache.buffers[0].owner
    assert isinstance(first, np.ndarray)
    assert cache.row_bytes == kv_type.row_bytes(SIZES) == first.strides[2]
    assert first.shape[2] == SIZES.context


def test_graphs_have_the_types_that_manifests_name() -> None:
    assert (graph_type("float32"), graph_type("float16")) == (FP32, FP16)
