"""The largest sizes of a model that are taken for real, by export and by the runtime alike.

They are beyond those of any model that runs on one machine, and small enough that no list, name or
buffer made by one of them alone hurts a process.
"""

from __future__ import annotations

SIZES = {
    "layers": 2**10,
    "heads": 2**10,
    "kv_heads": 2**10,
    "head_size": 2**10,
    "width": 2**16,
    "hidden": 2**18,
    "vocabulary": 2**20,
    "tokens": 2**20,
    "context": 2**20,
}
SPECIAL_TOKENS = 2**12
THREADS = 2**10


def is_size(name: str, value: object) -> bool:
    """Whether a value is a whole number that the size of that name may have."""
    return type(value) is int and 0 < value <= SIZES[name]  # bool is a kind of int
