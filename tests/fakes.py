"""A session without onnxruntime: its logits are a plain function of the last id."""

from __future__ import annotations

import numpy as np

from refact_edge.runtime.bundle.contract import Sizes
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.kv_type import FP32

SIZES = Sizes(
    layers=1, heads=1, kv_heads=1, head_size=4, width=4, vocabulary=40, tokens=32, context=300
)


def memories(cache: KvCache) -> list[np.ndarray]:
    """Return the buffers of a cache in memory, [1, G, context, D] a layer and part."""
    return [buffer.owner for buffer in cache.buffers if isinstance(buffer.owner, np.ndarray)]


class CountingSession:
    """Always prefers the id after the last one; padding ids look even better."""

    device, engine = "cpu", "counting"

    def __init__(self, sizes: Sizes = SIZES) -> None:
        self.sizes = sizes
        self.steps: list[int] = []  # tokens of each call

    def close(self) -> None:
        pass

    def new_cache(self) -> KvCache:
        return KvCache.in_memory(self.sizes, FP32)

    def step(self, ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        cache.check_room(len(ids))
        rows = slice(len(cache.ids), len(cache.ids) + len(ids))
        for memory in memories(cache):
            memory[0, 0, rows] = ids[:, None]  # so that a test can see whose rows they are
        cache.ids.extend(ids.tolist())
        self.steps.append(len(ids))
        logits = np.zeros((keep, self.sizes.vocabulary), np.float32)
        for row, token in zip(logits, ids[-keep:], strict=True):
            row[(token + 1) % self.sizes.tokens] = 5
            row[(token + 2) % self.sizes.tokens] = 4
            row[self.sizes.tokens :] = 9
        return logits
