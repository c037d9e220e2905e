"""The KV cache of one sequence: fixed buffers, and the ids whose rows they hold.

Knows no onnxruntime: a buffer is a pointer and whatever object keeps its memory alive.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from ..errors import PromptError
from .kv_type import KvType

PAGE_BYTES = mmap.PAGESIZE  # memory is taken by whole pages


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


def whole_pages(size: int) -> int:
    """Return the bytes of the pages that hold so many bytes."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def row_width(sizes: Sizes) -> int:
    """Return the numbers of one token's keys, or values, in one layer: those of all G heads."""
    return sizes.kv_heads * sizes.head_size


def _buffer_shape(sizes: Sizes, kv_type: KvType) -> tuple[int, int, int, int]:
    """Return the shape of one layer's keys or values.

    A token's heads lie together, so that new rows lie behind the old ones.
    """
    return 1, 1, sizes.context, kv_type.row_items(sizes)


def _mapped(size: int) -> npt.NDArray[np.uint8]:
    """Return zeros in pages of their own, of which none is there before it is written."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.zeros(size, np.uint8)  # Windows maps large pieces by itself
    try:
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no room for a cache of {size} bytes: {error.strerror}") from error
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # of kernels that have no large pages
            mapping.madvise(mmap.MADV_NOHUGEPAGE)  # one would be taken whole for a single row
    return np.frombuffer(mapping, np.uint8)


@dataclass
class KvCache:
    """One buffer [1, 1, context, items of a row] a layer and part, filled up to row len(ids).

    Going back to an earlier prefix is forgetting ids; rows behind it are overwritten later.
    """

    context: int
    row_bytes: int
    buffers: list[Allocation]
    lazy: bool = False  # whether memory is taken only by the pages that were written
    ids: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)  # what followed `ids` here before
    # Whether of the next logits those below the greatest (bundle/gpu.py) may be -inf: few are read
    # back from a GPU sooner than all.
    candidates_suffice: bool = False
    _touched: int = 0  # the most rows that were ever written

    @classmethod
    def allocate(
        cls,
        sizes: Sizes,
        kv_type: KvType,
        allocate: Callable[[tuple[int, ...]], Allocation],
        *,
        lazy: bool = False,
    ) -> KvCache:
        """Make an empty cache in buffers of any memory."""
        shape = _buffer_shape(sizes, kv_type)
        buffers = [allocate(shape) for _ in range(2 * sizes.layers)]
        return cls(sizes.context, kv_type.row_bytes(sizes), buffers, lazy)

    @classmethod
    def in_memory(cls, sizes: Sizes, kv_type: KvType) -> KvCache:
        """Make an empty cache in this computer's memory.

        All buffers are one mapping of their own, each from a page's start on. Pages are taken when
        they are written first, and all are given back with the cache: the C library's heap does
        neither for pieces that it has seen before.
        """
        shape = _buffer_shape(sizes, kv_type)
        row_bytes, count = kv_type.row_bytes(sizes), 2 * sizes.layers
        apart = whole_pages(sizes.context * row_bytes)
        memory = _mapped(count * apart)
        buffers = []
        for start in range(0, count * apart, apart):
            part = (
                memory[start : start + sizes.context * row_bytes].view(kv_type.dtype).reshape(shape)
            )
            buffers.append(Allocation(part.ctypes.data, part))
        return cls(sizes.context, row_bytes, buffers, lazy=True)

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
        if not self.lazy:
            return self.context * self.row_bytes * len(self.buffers)
        rows = max(self._touched, len(self.ids))
        return whole_pages(rows * self.row_bytes) * len(self.buffers)

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
