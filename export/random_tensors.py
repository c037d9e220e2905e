"""Random tensors, written as safetensors files a piece at a time.

The library's own writer takes all of a file's tensors in memory, which of a 7B model are 14 GB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np

from .progress import Advance

PIECE = 2**22  # values that are drawn at a time
_ALIGNMENT = 8  # of the file's first tensor, as the format asks


def write_random(
    file: Path,
    tensors: Mapping[str, tuple[int, ...]],
    random: np.random.Generator,
    deviation: float,
    advance: Advance,
) -> None:
    """Write bf16 tensors in that order: normal matrices and biases, norms around 1."""
    header = _header(tensors)
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for name, size in tensors.items():
            left = math.prod(size)
            while left:
                count = min(left, PIECE)
                values = random.standard_normal(count, dtype=np.float32)
                if len(size) == 1 and not name.endswith(".bias"):
                    values = 1 + np.float32(0.1) * values
                else:
                    values *= np.float32(deviation)
                out.write(values.astype(ml_dtypes.bfloat16).tobytes())
                left -= count
                advance(count)


def _header(tensors: Mapping[str, tuple[int, ...]]) -> bytes:
    content: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, size in tensors.items():
        end = at + 2 * math.prod(size)
        content[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [at, end]}
        at = end
    header = json.dumps(content).encode()
    return header + b" " * (-len(header) % _ALIGNMENT)


def in_shards(
    tensors: Mapping[str, tuple[int, ...]], shards: int
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Cut tensors, in order, into shards of about equal weight."""
    total = sum(map(math.prod, tensors.values()))
    groups: Sequence[dict[str, tuple[int, ...]]] = [{} for _ in range(shards)]
    done = 0
    for name, size in tensors.items():
        groups[min(shards - 1, done * shards // total)][name] = size
        done += math.prod(size)
    yield from groups
