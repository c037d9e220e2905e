"""The KV cache of one sequence: fixed buffers, and the ids whose rows they hold.

Knows no onnxruntime: a buffer is a pointer and whatever object keeps its memory alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .bundle import Sizes
from .errors import PromptError


@dataclass(frozen=True)
class Allocation:
    """Memory on a device: its address, and the object that owns it."""

    pointer: int
    owner: object


def shared_start(mine: list[int], ids: list[int]) -> int:
    """Return how many leading ids two lists have in common."""
    low, high = 0, min(len(mine), len(ids))
    while low < high:  # comparing slices is much faster than comparing ids one by one
        middle = (low + high + 1) // 2
        if mine[low:middle] == ids[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass
class KvCache:
    """One buffer [1, G, context, D] a layer and part, filled up to row len(ids).

    Going back to an earlier prefix is forgetting ids; rows behind it are overwritten later.
    """

    context: int
    row_bytes: int
    buffers: list[Allocation]
    lazy: bool = False  # whether memory is taken only as rows are written
    ids: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)  # what followed `ids` here before
    _touched: int = 0  # the most rows that were ever written

    @classmethod
    def allocate(
        cls,
        sizes: Sizes,
        kv_type: np.dtype[np.generic],
        allocate: Callable[[tuple[int, ...]], Allocation],
        *,
        lazy: bool = False,
    ) -> KvCache:
        """Make the empty cache of a model with one key/value head.

        With more heads the rows of one head would not lie next to those added later.
        """
        if sizes.kv_heads != 1:
            raise NotImplementedError(f"{sizes.kv_heads} key/value heads; this cache holds one")
        shape = (1, 1, sizes.context, sizes.head_size)
        buffers = [allocate(shape) for _ in range(2 * sizes.layers)]
        return cls(sizes.context, sizes.head_size * kv_type.itemsize, buffers, lazy)

    @property
    def pointers(self) -> list[int]:
        """Start of each buffer: key then value, layer by layer."""
        return [buffer.pointer for buffer in self.buffers]

    def check_room(self, tokens: int) -> None:
        """Refuse more tokens than fit.

        Raises:
            PromptError: when the sequence would outgrow the context.

        """
        if len(self.ids) + tokens > self.context:
            raise PromptError(
                f"{len(self.ids)} + {tokens} tokens do not fit a context of {self.context}"
            )

    @property
    def held_bytes(self) -> int:
        """Memory that the buffers take."""
        rows = max(self._touched, len(self.ids)) if self.lazy else self.context
        return rows * self.row_bytes * len(self.buffers)

    def shared(self, ids: list[int]) -> int:
        """Return how many leading ids the cache has in common with `ids`."""
        return shared_start(self.ids, ids)

    def rewind(self, tokens: int) -> None:
        """Forget everything after the first `tokens` tokens."""
        self._touched = max(self._touched, len(self.ids))
        self.forgotten = self.ids[tokens:]
        del self.ids[tokens:]

    def copy(self, other: KvCache, rows: int) -> None:
        """Become a copy of the first `rows` rows of another cache; none of a device's memory."""
        for mine, theirs in zip(self.buffers, other.buffers, strict=True):
            if not (isinstance(mine.owner, np.ndarray) and isinstance(theirs.owner, np.ndarray)):
                return
            mine.owner[:, :, :rows] = theirs.owner[:, :, :rows]
        self.ids, self.forgotten = other.ids[:rows], other.ids[rows:]
