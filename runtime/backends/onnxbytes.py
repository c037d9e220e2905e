"""ONNX models of one operator, written byte by byte in the wire format of onnx.proto.

The runtime asks onnxruntime a question with such a model, and the package onnx is not there then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

# Of onnx.TensorProto.DataType, by numpy's names.
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}
_INTEGER = 2  # of onnx.AttributeProto.AttributeType
_IR, _OPSET, _DOMAIN_OPSET = 10, 21, 1


@dataclass(frozen=True)
class Operator:
    """An operator, its domain when it is none of ONNX's own, and its attributes."""

    kind: str
    domain: str = ""
    attributes: Mapping[str, int] | None = None


def one_operator(
    operator: Operator,
    inputs: Mapping[str, str],
    output: tuple[str, str],
    constants: Mapping[str, npt.NDArray[Any]] | None = None,
) -> bytes:
    """Return a model of one operator.

    Args:
        operator: what it computes.
        inputs: names and types of its input matrices, of any size.
        output: name and type of the matrix that it returns.
        constants: further inputs, whose values lie in the model.

    """
    constants = constants or {}
    node = b"".join(field(1, name.encode()) for name in (*inputs, *constants))
    node += field(2, output[0].encode()) + field(4, operator.kind.encode())
    for name, value in (operator.attributes or {}).items():
        node += field(5, field(1, name.encode()) + field(3, value) + field(20, _INTEGER))
    graph = field(1, node + field(7, operator.domain.encode())) + field(2, b"one operator")
    graph += b"".join(field(5, _tensor(name, array)) for name, array in constants.items())
    graph += b"".join(field(11, _matrix(*named)) for named in inputs.items())
    opsets = field(8, field(2, _OPSET))
    if operator.domain:
        opsets += field(8, field(1, operator.domain.encode()) + field(2, _DOMAIN_OPSET))
    return field(1, _IR) + field(7, graph + field(12, _matrix(*output))) + opsets


def _matrix(name: str, element: str) -> bytes:
    """Return a ValueInfoProto for a matrix of any size."""
    shape = field(1, field(2, b"m")) + field(1, field(2, b"n"))
    tensor = field(1, TYPES[element]) + field(2, shape)
    return field(1, name.encode()) + field(2, field(1, tensor))


def _tensor(name: str, array: npt.NDArray[Any]) -> bytes:
    """Return a TensorProto."""
    dims = b"".join(field(1, size) for size in array.shape)
    kind = field(2, TYPES[array.dtype.name])
    return dims + kind + field(8, name.encode()) + field(9, array.tobytes())


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of a message: a number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
