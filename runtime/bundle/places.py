"""Where the weights of a variant lie in its data file: what the exporter knew as it wrote them.

The manifest carries it, beside the graphs, which say the same in their own way; `verify` compares
the two. Forms, and the parts that each has:

    floats  values [K, N] (norms and biases [N], the embedding and positions [rows, E])
    rows    codes int8 [K, N] (the embedding [V, E]), scales [N]: value = code * scale
    blocks  codes uint8 [N, blocks, block bytes] (the embedding [V, row bytes], unless it is the
            head, too), scales [N, blocks]: value = (code - 2^(bits - 1)) * scale, low bits first
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from ..errors import one_line
from .decoder import EMBEDDING, POSITIONS, Decoder, weight_shapes
from .limits import SIZES

ITEM_BYTES = {"float32": 4, "float16": 2, "int8": 1, "uint8": 1}
# Floats [size, size]: what the MLP's `down` reads is multiplied with it, block by block.
ROTATION = "rotation"
# [E, E]: the last norm's weights as a rotated stream sees them. A head that is the embedding reads
# what the norm makes through it; one of its own has those weights in it.
NORM_MATRIX = "norm.matrix"
_PARTS: dict[str, set[str]] = {
    "floats": {"values"},
    "rows": {"codes", "scales"},
    "blocks": {"codes", "scales"},
}
_ALLOWED = {"terms": (1, 2), "bits": (4, 8), "block": (16, 32, 64, 128, 256)}
_AXES, _MATRIX = 3, 2  # of a part at most, and of a matrix
SHARED_BITS = 8  # of an embedding in blocks that is the head, too
_PROBLEMS = 5  # that are told


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
        ValueError: listing those that are none: a field that is missing, unknown, or of a wrong
            type or size, or a part that its form has not so.

    """
    if not isinstance(value, dict):
        raise ValueError(f"weights are {value!r:.40}, expected an object")
    places, problems = {}, []
    for name, entry in value.items():
        try:
            places[str(name)] = _place(entry, str(name))
        except ValueError as error:
            problems.append(f"{str(name)[:80]} {error}")
    if problems:
        raise ValueError("; ".join(problems[:_PROBLEMS]))
    return places


def why_other_weights(decoder: Decoder, places: Mapping[str, Place]) -> str:
    """Say why places are not those of a decoder's weights, rotated or not; "" if they are."""
    shapes: dict[str, tuple[int, ...]] = weight_shapes(decoder)
    if ROTATION in places:
        size = places[ROTATION].shape[0]
        shapes[ROTATION] = (size, size)
        if decoder.mlp.hidden % size:
            return f"rotates {decoder.mlp.hidden} values in blocks of {size}"
        if decoder.tied:
            shapes[NORM_MATRIX] = (decoder.width, decoder.width)
    wrong = shapes.keys() ^ places.keys()
    wrong |= {name for name in shapes.keys() - wrong if places[name].shape != shapes[name]}
    if wrong:
        listed = one_line(", ".join(sorted(wrong)[:_PROBLEMS]), 400)
        return f"has other weights than its decoder: {listed}"
    return _why_no_head(decoder, places[EMBEDDING])


def _why_no_head(decoder: Decoder, embedding: Place) -> str:
    """Say why an embedding in blocks cannot be what its decoder says; "" if it can."""
    if embedding.form != "blocks":
        return ""
    as_matrix = len(embedding.parts["codes"].shape) == _AXES
    if as_matrix != decoder.tied:
        return f"has an embedding that {'is' if as_matrix else 'cannot be'} the head, too"
    if decoder.tied and embedding.bits != SHARED_BITS:
        return f"has a head of {embedding.bits} bits that is the embedding, expected {SHARED_BITS}"
    return ""


def _place(value: object, name: str) -> Place:
    if not isinstance(value, dict):
        raise ValueError(f"is {value!r:.40}, expected an object")
    content = dict(value)
    form, shape, parts = (content.pop(key, None) for key in ("form", "shape", "parts"))
    if not isinstance(form, str) or form not in _PARTS:
        raise ValueError(f"has form {form!r:.40}, expected one of {', '.join(_PARTS)}")
    allowed = {"floats": set[str](), "rows": {"terms"}, "blocks": {"bits", "block"}}[form]
    if content.keys() != allowed or not all(
        type(one) is int and one in _ALLOWED[key] for key, one in content.items()
    ):
        expected = ", ".join(f"{key} of {_ALLOWED[key]}" for key in sorted(allowed))
        raise ValueError(f"has {content!r:.80}, expected {expected or 'no more'}")
    if not isinstance(parts, dict) or parts.keys() != _PARTS[form]:
        raise ValueError(f"has other parts than {sorted(_PARTS[form])}")
    read = {key: _part(one, key) for key, one in parts.items()}
    place = Place(cast(Any, form), _shape(shape), read, **content)
    shared = name == EMBEDDING and form == "blocks" and len(read["codes"].shape) == _AXES
    expected_parts = _expected(place, table=name in (EMBEDDING, POSITIONS) and not shared)
    for key, (types, dims) in expected_parts.items():
        if read[key].type not in types or read[key].shape != dims:
            raise ValueError(
                f"has {key} {read[key].type} {list(read[key].shape)}, expected "
                f"{' or '.join(types)} {list(dims)}"
            )
    return place


def _expected(place: Place, *, table: bool) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Return the types and the shape that each part of a weight must have."""
    laid_out = place.shape if table else place.shape[::-1]
    if place.form == "floats":
        return {"values": (("float32", "float16"), laid_out)}
    if len(place.shape) != _MATRIX:
        raise ValueError(f"of shape {list(place.shape)} is no matrix")
    rows, columns = place.shape
    if place.form == "rows":
        return {"codes": (("int8",), laid_out), "scales": (("float32",), (rows,))}
    blocks, block_bytes = -(-columns // place.block), place.block * place.bits // 8
    codes = (rows, columns * place.bits // 8) if table else (rows, blocks, block_bytes)
    return {
        "codes": (("uint8",), codes),
        "scales": (("float32", "float16"), (rows, blocks)),
    }


def _part(value: object, name: str) -> Part:
    if not isinstance(value, dict) or value.keys() != {"type", "shape", "offset", "length"}:
        raise ValueError(f"has {name} {value!r:.40}, expected type, shape, offset and length")
    kind, shape = value["type"], _shape(value["shape"])
    if not isinstance(kind, str) or kind not in ITEM_BYTES:
        expected = ", ".join(ITEM_BYTES)
        raise ValueError(f"has {name} of type {kind!r:.40}, expected one of {expected}")
    for key in ("offset", "length"):
        if type(value[key]) is not int or not 0 <= value[key] < 2**63:
            raise ValueError(
                f"has {name} with {key} {value[key]!r:.40}, expected a number of bytes"
            )
    if value["length"] != math.prod(shape) * ITEM_BYTES[kind]:
        raise ValueError(f"has {name} of {value['length']} bytes for {list(shape)} of {kind}")
    if value["offset"] % ITEM_BYTES[kind]:
        raise ValueError(f"has {name} at {value['offset']}, which is no place for {kind}")
    return Part(kind, shape, value["offset"], value["length"])


def _shape(value: object) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= _AXES
        or not all(type(size) is int and 0 < size <= SIZES["vocabulary"] for size in value)
    ):
        raise ValueError(f"has shape {value!r:.40}, expected 1 to {_AXES} sizes")
    return tuple(value)
