"""Whether the kernels take a decoder and the weights that a bundle has of it.

What they do not take is refused with a line that says why, before any memory is taken for it;
onnxruntime runs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...bundle.decoder import EMBEDDING, POSITIONS, Decoder, weight_shapes
from ...bundle.places import NORM_MATRIX, ROTATION, Place
from ...errors import BundleError
from .tables import table_bytes

# The numpy types of each form's parts that the kernels read.
_TYPES = {
    "blocks": {"codes": "uint8", "scales": "float16"},
    "rows": {"codes": "int8", "scales": "float32"},
    "floats": {"values": "float32"},
}
# Angles of 2^20 positions and 128 numbers of a head: beyond any model that is about now.
MOST_TABLE_BYTES = 2**29


class OtherGraphError(BundleError):
    """The model is not one that the native kernels take; onnxruntime runs it."""


def check_kernels_take(
    decoder: Decoder, places: Mapping[str, Place], constants: Mapping[str, int]
) -> None:
    """Refuse what the kernels do not take; `constants` are the library's.

    Raises:
        OtherGraphError: saying what that is.

    """
    shapes, block = weight_shapes(decoder), constants["BLOCK"]
    missing = [name for name in shapes if name not in places]
    if missing:
        raise OtherGraphError(
            f"the bundle does not say where {len(missing)} of {len(shapes)} weights lie: "
            f"{', '.join(missing[:5])}; export the model again"
        )
    if NORM_MATRIX in places:
        shapes[NORM_MATRIX] = (decoder.width, decoder.width)
    for name, shape in shapes.items():
        _check_place(name, places[name], shape, block, padded=name != EMBEDDING or decoder.tied)
    _check_gates(decoder.mlp.hidden, places.get(ROTATION), constants)
    if (size := table_bytes(decoder)) > MOST_TABLE_BYTES:
        raise OtherGraphError(
            f"angles of {decoder.context} positions take {size} bytes, the native kernels take up "
            f"to {MOST_TABLE_BYTES}; it runs on onnxruntime only"
        )


def _check_place(
    name: str, place: Place, shape: tuple[int, ...], block: int, *, padded: bool = True
) -> None:
    """Make sure that a weight has the shape and form that the kernels read."""
    is_matrix = len(shape) == 2 and name not in (POSITIONS, ROTATION)
    forms = ("blocks", "rows") if is_matrix else ("floats",)
    types = {key: part.type for key, part in place.parts.items()}
    if place.form not in forms or types != _TYPES[place.form] or place.shape != shape:
        raise OtherGraphError(
            f"{name} is {place.form} of {' x '.join(map(str, place.shape))}, the native kernels "
            f"take {' or '.join(forms)} of {' x '.join(map(str, shape))}; it runs on onnxruntime "
            "only"
        )
    if place.form == "blocks":
        _check_blocks(name, place, block, padded)
    elif place.form == "rows":
        _check_rows(name, place)
    elif place.parts["values"].length != 4 * math.prod(shape):
        raise OtherGraphError(
            f"{name} has {place.parts['values'].length} bytes, expected {4 * math.prod(shape)}; "
            "export the model again"
        )


def _check_blocks(name: str, place: Place, block: int, padded: bool) -> None:
    rows, cols = place.shape
    blocks = -(-cols // block)
    values = blocks * block if padded else cols
    codes, scales = (place.parts[part].length for part in ("codes", "scales"))
    if (
        place.block != block
        or place.bits not in (4, 8)
        or (codes, scales) != (rows * values * place.bits // 8, 2 * rows * blocks)
    ):
        raise OtherGraphError(
            f"{name} is not {rows} x {cols} in blocks of {block}, of 4 or 8 bits; it runs on "
            "onnxruntime only"
        )


def _check_rows(name: str, place: Place) -> None:
    rows, cols = place.shape
    if (place.parts["codes"].length, place.parts["scales"].length) != (rows * cols, 4 * rows):
        raise OtherGraphError(
            f"{name} is not {rows} x {cols} bytes with a scale a row; export the model again"
        )


def _check_gates(hidden: int, rotation: Place | None, constants: Mapping[str, int]) -> None:
    """Make sure that gates are whole pieces, also of the rotation if there is one."""
    block, size = constants["BLOCK"], 0
    if rotation is not None:
        size = rotation.shape[0]
        _check_place(ROTATION, rotation, (size, size), block)
    whole = not size or (hidden % size == 0 and (size % block == 0 or block % size == 0))
    if hidden % constants["GATE_PIECE"] or not whole:
        raise OtherGraphError(
            f"{hidden} hidden numbers, rotated by {size}, are no whole pieces; it runs on "
            "onnxruntime only"
        )
    if size > constants["MOST_ROTATION"]:
        raise OtherGraphError(
            f"a rotation of {size}, the native kernels take up to {constants['MOST_ROTATION']}; "
            "it runs on onnxruntime only"
        )
