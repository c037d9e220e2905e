"""What the native step needs of a graph: its tensors by name, and whether it looks like that step.

The library knows one model, as our export writes it. A graph is refused when its operators are not
as often there as that model has them, take other inputs, bias attention otherwise, or when a weight
has another name, shape, place or form. That is no proof: a graph made by hand could pass.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from math import prod

from ...bundle.contract import Sizes
from ...bundle.onnxfile import FLOAT, HALF, ITEM_BYTES, UINT8, OnnxGraph, Tensor
from ...bundle.places import ROTATION
from ...errors import BundleError

BLOCK, MOST_BLOCKS = 128, 512  # as in edge.h


class OtherGraphError(BundleError):
    """The graph is not the step that the library takes; onnxruntime runs it."""


@dataclass(frozen=True)
class Quantized:
    """Where the codes and scales of a matrix begin in the data file, and the bits of a code."""

    codes: int
    scales: int
    bits: int


def check_operators(graph: OnnxGraph, sizes: Sizes, turned: bool) -> None:
    """Make sure that the graph is the step that the library takes.

    Raises:
        OtherGraphError: when it is another one.

    """
    layers = sizes.layers
    expected = {
        "MatMulNBits": 5 * layers + 1,
        "LayerNormalization": 2 * layers + 1,
        "FusedMatMul": layers,
        "MatMul": (2 if turned else 1) * layers,
        "Softmax": layers,
        "Sigmoid": layers,
        "GatherBlockQuantized": 1,
    }
    operators = Counter(node.operator for node in graph.nodes)
    for name, number in expected.items():
        if operators[name] != number:
            raise OtherGraphError(
                f"the graph has {operators[name]} {name}, the native step {number}; "
                "it runs on onnxruntime only, until it is exported again"
            )
    if {len(node.inputs) for node in graph.nodes if node.operator == "MatMulNBits"} != {3}:
        raise OtherGraphError("the graph's codes have zero points; it runs on onnxruntime only")
    slopes = struct.pack(f"<{sizes.heads}f", *alibi_slopes(sizes.heads))
    if not any(tensor.raw == slopes for tensor in graph.tensors.values()):
        raise OtherGraphError("the graph has other slopes of ALiBi; it runs on onnxruntime only")


def epsilon(graph: OnnxGraph) -> float:
    """Return what all norms add to the variance.

    Raises:
        OtherGraphError: when they do not agree, or it is no small number.

    """
    norms = [node for node in graph.nodes if node.operator == "LayerNormalization"]
    values = {node.attributes.get("epsilon") for node in norms}
    value = values.pop() if len(values) == 1 else None
    if not isinstance(value, float) or not 0 < value < 1:
        raise OtherGraphError(
            "the graph's norms have no common epsilon; it runs on onnxruntime only"
        )
    return value


def alibi_slopes(heads: int) -> list[float]:
    """Return ALiBi's slopes (Press et al. 2022), also for heads that are no power of two."""
    whole = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (h + 1) / whole) for h in range(whole)]
    between = [2 ** (-4 * (h + 1) / whole) for h in range(0, 2 * whole, 2)]
    return [*slopes, *between][:heads]


def rows_of(graph: OnnxGraph, name: str) -> int:
    """Return how many rows a quantized matrix has; 0 where it is not there."""
    scales = graph.tensors.get(f"{name}.scales")
    return scales.dims[0] if scales is not None and scales.dims else 0


def matrix(
    graph: OnnxGraph, name: str, rows: int, cols: int, *, whole_blocks: bool = True
) -> Quantized:
    """Return where a quantized matrix lies.

    Args:
        graph: where it is.
        name: what it is called.
        rows: that it must have.
        cols: that it must have, in blocks of 128.
        whole_blocks: whether its rows are filled up to a whole block.

    Raises:
        OtherGraphError: when it is not there, or not of that size, or not of 4 or 8 bits.

    """
    codes, scales = (graph.tensors.get(f"{name}.{part}") for part in ("codes", "scales"))
    if codes is None or scales is None or (codes.type, scales.type) != (UINT8, HALF):
        raise OtherGraphError(f"the graph has no quantized {name}; it runs on onnxruntime only")
    blocks = -(-cols // BLOCK)
    values = rows * (blocks * BLOCK if whole_blocks else cols)
    bits, rest = divmod(8 * prod(codes.dims), values) if values else (0, 0)
    if rest or bits not in (4, 8) or scales.dims != (rows, blocks) or blocks > MOST_BLOCKS:
        raise OtherGraphError(
            f"{name} is not {rows} x {cols} in blocks of {BLOCK}; it runs on onnxruntime only"
        )
    return Quantized(_offset(codes), _offset(scales), bits)


def vector(graph: OnnxGraph, name: str, length: int) -> int:
    """Return where a vector of floats begins in the data file.

    Raises:
        OtherGraphError: when it is not there or has another length.

    """
    tensor = graph.tensors.get(name)
    if tensor is None or (tensor.type, tensor.dims) != (FLOAT, (length,)):
        raise OtherGraphError(f"the graph has no {name} of {length}; it runs on onnxruntime only")
    return _offset(tensor)


def _offset(tensor: Tensor) -> int:
    """Return where a tensor begins in the data file, at a place fit for its items."""
    if tensor.place is None or tensor.place.offset % ITEM_BYTES[tensor.type]:
        raise OtherGraphError(f"{tensor.name} lies where the native step cannot read it")
    return tensor.place.offset


def turn(graph: OnnxGraph) -> Tensor | None:
    """Return the square matrix that values are turned by, if there is one."""
    tensor = graph.tensors.get(ROTATION)
    square = tensor and tensor.type == FLOAT and tensor.dims[:1] * 2 == tensor.dims
    return tensor if square else None


def bytes_of(tensor: Tensor) -> tuple[int, int]:
    """Return where a tensor begins in the data file, and how many bytes it has."""
    return _offset(tensor), prod(tensor.dims) * ITEM_BYTES[tensor.type]
