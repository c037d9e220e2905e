"""What an ONNX file asks for, looked at before anything executes it.

It knows nothing of this project's bundles: it refuses operators and external data that a graph of
our export never has.
"""

from __future__ import annotations

from pathlib import Path

from .errors import BundleError, one_line
from .onnxfile import OnnxGraph, read_graph

# All operators that the exporter writes, by domain.
ALLOWED_OPERATORS = frozenset(
    {("", name) for name in (
        "Abs", "Add", "And", "Cast", "Concat", "ConstantOfShape", "Gather", "LayerNormalization",
        "LessOrEqual", "MatMul", "Max", "Mul", "QuantizeLinear", "Range",
        "ReduceMax", "Reshape", "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Sub",
        "Unsqueeze", "Where",
    )}
    | {("com.microsoft", name) for name in (
        "FusedMatMul", "GatherBlockQuantized", "MatMulIntegerToFloat", "MatMulNBits",
    )}
)  # fmt: skip


def check_graph(path: Path, data: Path) -> OnnxGraph:
    """Refuse a graph that asks for an unknown operator, or for data outside the file `data`.

    Returns what was read, which is all that may be relied on.

    Raises:
        BundleError: with the first operators or places that are not allowed.

    """
    graph = read_graph(path)
    unknown = sorted({(node.domain, node.operator) for node in graph.nodes} - ALLOWED_OPERATORS)
    if unknown:
        names = ", ".join(f"{domain or 'ai.onnx'}.{name}" for domain, name in unknown[:5])
        raise BundleError(
            f"{path} uses operators outside the allowed list: {one_line(names)}; not opened"
        )
    available = data.stat().st_size
    for place in (tensor.place for tensor in graph.tensors.values() if tensor.place):
        if place.file != data.name:
            raise BundleError(
                f"{path} asks for data in {place.file!r:.80}; only {data.name!r} is allowed; not "
                "opened"
            )
        if place.offset + place.length > available:
            raise BundleError(f"{path} asks for bytes beyond the end of {data.name}; export again")
    return graph
