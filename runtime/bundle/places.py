"""Where the weights of a variant lie in its data file: what the exporter knew as it wrote them.

The manifest carries it, beside the graphs, which say the same in their own way; `verify` compares
the two. Forms, and the parts that each has:

    floats  values [K, N] (norms and biases [N], the embedding and positions [rows, E])
    rows    codes int8 [K, N] (the embedding [V, E]), scales [N]: value = code * scale
    blocks  codes uint8 [N, blocks, block bytes] (the embedding [V, row bytes]), scales [N, blocks]:
            value = (code - 2^(bits - 1)) * scale, the low bits first
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .limits import SIZES

ITEM_BYTES = {"float32": 4, "float16": 2, "int8": 1, "uint8": 1}
# Floats [size, size]: what the MLP's `down` reads is multiplied with it, block by block.
ROTATION = "rotation"
_PARTS: dict[str, set[str]] = {
    "floats": {"values"},
    "rows": {"codes", "scales"},
    "blocks": {"codes", "scales"},
}
_AXES = 3  # at most


@dataclass(frozen=True)
class Part:
    """One array in the data file: its numpy type, its shape, and where its bytes lie."""

    type: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class Place:
    """A weight [N, K]: its form, and the arrays that it is made of.

    `bits` and `block` are of form blocks: bits of a code, values with one scale. `terms` is of form
    rows: by how many bytes each value is stood for that it is multiplied with.
    """

    form: Literal["floats", "rows", "blocks"]
    shape: tuple[int, ...]
    parts: Mapping[str, Part]
    bits: int = 0
    block: int = 0
    terms: int = 0


def tensor_name(name: str, part: str) -> str:
    """Return the name that a part of a weight has in graphs."""
    return name if part == "values" else f"{name}.{part}"


def places_to_json(places: Mapping[str, Place]) -> dict[str, Any]:
    """Return places as JSON has them: what is 0 is left out."""
    return {
        name: {key: value for key, value in asdict(place).items() if value != 0}
        for name, place in places.items()
    }


def places_of(value: object) -> dict[str, Place]:
    """Return the places that `places_to_json` wrote.

    Raises:
        ValueError: when one is none: a field that is missing, unknown, or of a wrong type or size.

    """
    if not isinstance(value, Mapping):
        raise ValueError(f"weights are {value!r:.40}, expected an object")
    return {str(name): _place(entry, str(name)[:80]) for name, entry in value.items()}


def _place(value: object, name: str) -> Place:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r:.40}, expected an object")
    content = dict(value)
    form, shape, parts = (content.pop(key, None) for key in ("form", "shape", "parts"))
    if form not in _PARTS:
        raise ValueError(f"{name} has form {form!r:.40}, expected one of {', '.join(_PARTS)}")
    allowed = {"floats": set[str](), "rows": {"terms"}, "blocks": {"bits", "block"}}[form]
    if content.keys() != allowed or not all(
        type(one) is int and one > 0 for one in content.values()
    ):
        raise ValueError(f"{name} has {content!r:.80}, expected {sorted(allowed)} above 0")
    if not isinstance(parts, Mapping) or parts.keys() != _PARTS[form]:
        raise ValueError(f"{name} has other parts than {sorted(_PARTS[form])}")
    read = {key: _part(one, f"{name}.{key}") for key, one in parts.items()}
    return Place(form, _shape(shape, name), read, **content)


def _part(value: object, name: str) -> Part:
    if not isinstance(value, Mapping) or value.keys() != {"type", "shape", "offset", "length"}:
        raise ValueError(f"{name} is {value!r:.40}, expected type, shape, offset and length")
    kind, shape = value["type"], _shape(value["shape"], name)
    if kind not in ITEM_BYTES:
        raise ValueError(f"{name} has type {kind!r:.40}, expected one of {', '.join(ITEM_BYTES)}")
    for key in ("offset", "length"):
        if type(value[key]) is not int or not 0 <= value[key] < 2**63:
            raise ValueError(f"{name}.{key} is {value[key]!r:.40}, expected a number of bytes")
    if value["length"] != math.prod(shape) * ITEM_BYTES[kind]:
        raise ValueError(f"{name} has {value['length']} bytes for {list(shape)} of {kind}")
    if value["offset"] % ITEM_BYTES[kind]:
        raise ValueError(f"{name} begins at {value['offset']}, which is no place for {kind}")
    return Part(kind, shape, value["offset"], value["length"])


def _shape(value: object, name: str) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= _AXES
        or not all(type(size) is int and 0 < size <= SIZES["vocabulary"] for size in value)
    ):
        raise ValueError(f"{name} has shape {value!r:.40}, expected 1 to {_AXES} sizes")
    return tuple(value)
