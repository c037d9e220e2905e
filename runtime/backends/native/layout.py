"""The structures of weights.h and program.h, field by field; `Native` compares their places."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

MOST_BUFFERS = 16  # an array's length is part of a layout, which is compared

_NUMBER, _FLOAT, _POINTER = ctypes.c_int32, ctypes.c_float, ctypes.c_void_p


class Matrix(ctypes.Structure):
    """Codes of `rows` rows of `cols` values, and scales of their blocks or `row_scales`."""

    _fields_ = (
        ("codes", _POINTER),
        ("scales", _POINTER),
        ("row_scales", _POINTER),
        ("rows", _NUMBER),
        ("cols", _NUMBER),
        ("bits", _NUMBER),
    )


class Embed(ctypes.Structure):
    """Of kind EMBED."""

    _fields_ = (
        ("matrix", Matrix),
        ("positions", _POINTER),
        ("position_rows", _NUMBER),
        ("scale", _FLOAT),
        ("padded", _NUMBER),
    )


class Norm(ctypes.Structure):
    """Of kind NORM."""

    _fields_ = (("weight", _POINTER), ("bias", _POINTER), ("epsilon", _FLOAT), ("rms", _NUMBER))


class Round(ctypes.Structure):
    """Of kind ROUND: by how many terms a number is stood for by row; 0 by block."""

    _fields_ = (("terms", _NUMBER),)


class Multiply(ctypes.Structure):
    """Of kind MULTIPLY."""

    _fields_ = (("matrix", Matrix), ("bias", _POINTER), ("scale", _FLOAT), ("add", _NUMBER))


class Heads(ctypes.Structure):
    """The heads that a buffer's rows begin with."""

    _fields_ = (("heads", _NUMBER), ("size", _NUMBER))


class NormHeads(ctypes.Structure):
    """Of kind NORM_HEADS."""

    _fields_ = (("heads", Heads), ("weight", _POINTER), ("epsilon", _FLOAT))


class Rotary(ctypes.Structure):
    """Of kind ROTARY."""

    _fields_ = (("heads", Heads), ("cosines", _POINTER), ("sines", _POINTER), ("dims", _NUMBER))


class Append(ctypes.Structure):
    """Of kind APPEND."""

    _fields_ = (("layer", _NUMBER),)


class Attend(ctypes.Structure):
    """Of kind ATTEND."""

    _fields_ = (
        ("slopes", _POINTER),
        ("scale", _FLOAT),
        ("layer", _NUMBER),
        ("heads", _NUMBER),
        ("kv_heads", _NUMBER),
        ("head_size", _NUMBER),
        ("window", _NUMBER),
    )


class Gate(ctypes.Structure):
    """Of kind GATE."""

    _fields_ = (
        ("rotation", _POINTER),
        ("rotation_size", _NUMBER),
        ("activation", _NUMBER),
        ("gated", _NUMBER),
    )


class _Of(ctypes.Union):
    _fields_ = (
        ("embed", Embed),
        ("norm", Norm),
        ("round", Round),
        ("multiply", Multiply),
        ("norm_heads", NormHeads),
        ("rotary", Rotary),
        ("append", Append),
        ("attend", Attend),
        ("gate", Gate),
    )


class Operation(ctypes.Structure):
    """One operation: its kind, its buffers, and what its kind needs besides."""

    _anonymous_ = ("of",)
    _fields_ = (("kind", _NUMBER), ("from", _NUMBER), ("to", _NUMBER), ("of", _Of))


class Program(ctypes.Structure):
    """All operations of a step, and the memory that they may read."""

    _fields_ = (
        ("operations", ctypes.POINTER(Operation)),
        ("data", _POINTER),
        ("data_bytes", ctypes.c_int64),
        ("tables", _POINTER),
        ("table_bytes", ctypes.c_int64),
        ("widths", _NUMBER * MOST_BUFFERS),
        ("count", _NUMBER),
        ("context", _NUMBER),
        ("vocabulary", _NUMBER),
        ("layers", _NUMBER),
        ("kv_width", _NUMBER),
        ("kv_heads", _NUMBER),
        ("kv_type", _NUMBER),
    )


STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Matrix, Embed, Norm, Round, Multiply, Heads, NormHeads, Rotary, Append, Attend, Gate, Operation,
    Program,
)  # fmt: skip


def fields() -> Iterator[tuple[str, int, int]]:
    """Yield each field as "Matrix.rows", where it begins and its size in bytes."""
    for structure in STRUCTURES:
        names = [entry[0] for entry in structure._fields_ if entry[1] is not _Of]
        if structure is Operation:
            names += [entry[0] for entry in _Of._fields_]
        for name in names:
            place = getattr(structure, name)
            yield f"{structure.__name__}.{name}", place.offset, place.size
