"""Whether this CPU multiplies unsigned by signed bytes exactly.

On x86 without VNNI the fastest instruction for it adds two products into 16 bits and saturates.
onnxruntime then uses that instruction unless told otherwise, and where it is told so needlessly
int8 prefill takes more than twice as long. No system call answers this everywhere, so one product
that would saturate is computed and looked at.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

_INNER = 64  # length of the sums
_UINT8, _INT8, _INT32 = 2, 3, 6  # of onnx.TensorProto.DataType


@cache
def bytes_multiply_exactly(onnxruntime: ModuleType) -> bool:
    """Compute some sums of the largest products with the default kernels and compare."""
    session = onnxruntime.InferenceSession(product_model(), providers=["CPUExecutionProvider"])
    left = np.full((4, _INNER), 255, np.uint8)
    right = np.full((_INNER, 16), 127, np.int8)
    (sums,) = session.run(None, {"a": left, "b": right})
    return bool((sums == 255 * 127 * _INNER).all())


def product_model() -> bytes:
    """Return an ONNX model of one MatMulInteger, in the wire format of onnx.proto."""
    node = _field(1, b"a") + _field(1, b"b") + _field(2, b"y") + _field(4, b"MatMulInteger")
    graph = (
        _field(1, node)
        + _field(2, b"product")
        + _field(11, _value(b"a", _UINT8))
        + _field(11, _value(b"b", _INT8))
        + _field(12, _value(b"y", _INT32))
    )
    opset = _field(2, 21)
    return _field(1, 10) + _field(7, graph) + _field(8, opset)


def _value(name: bytes, element: int) -> bytes:
    """Return a ValueInfoProto for a matrix of any size."""
    shape = _field(1, _field(2, b"m")) + _field(1, _field(2, b"n"))
    tensor = _field(1, element) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3]) + _varint(value)
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
