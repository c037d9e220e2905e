"""Whether this CPU multiplies unsigned by signed bytes exactly.

On x86 without VNNI the fastest instruction for it adds two products into 16 bits and saturates.
onnxruntime uses that instruction unless an option forbids it, and where that is needless int8
prefill takes more than twice as long. No system call answers this everywhere, so one product
that would saturate is computed and looked at.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

from .onnxbytes import Operator, one_operator

_INNER = 64  # length of the sums


@cache
def bytes_multiply_exactly(onnxruntime: ModuleType) -> bool:
    """Compute some sums of the largest products with the default kernels and compare."""
    session = onnxruntime.InferenceSession(product_model(), providers=["CPUExecutionProvider"])
    left = np.full((4, _INNER), 255, np.uint8)
    right = np.full((_INNER, 16), 127, np.int8)
    (sums,) = session.run(None, {"a": left, "b": right})
    return bool((sums == 255 * 127 * _INNER).all())


def product_model() -> bytes:
    """Return an ONNX model of one MatMulInteger."""
    return one_operator(Operator("MatMulInteger"), {"a": "uint8", "b": "int8"}, ("y", "int32"))
