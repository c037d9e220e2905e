"""What an ONNX file asks for, looked at before anything executes it.

It knows nothing of this project's bundles but where weights lie: it refuses operators and external
data that a graph of our export never has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import BundleError, one_line
from .onnxfile import FLOAT, HALF, INT8, UINT8, OnnxGraph, Tensor, read_graph
from .operators import OPERATORS, has_its_codes, is_written_so
from .places import Part, Place, tensor_name

_TYPES = {"float32": FLOAT, "float16": HALF, "int8": INT8, "uint8": UINT8}


def check_graph(path: Path, data: Path) -> OnnxGraph:
    """Refuse a graph that asks for what no export writes, or for data outside the file `data`.

    Returns what was read, which is all that may be relied on.

    Raises:
        BundleError: with the first operators or places that are not allowed.

    """
    graph = read_graph(path)
    unknown = sorted({(node.domain, node.operator) for node in graph.nodes} - OPERATORS.keys())
    if unknown:
        names = ", ".join(f"{domain or 'ai.onnx'}.{name}" for domain, name in unknown[:5])
        raise BundleError(
            f"{path} uses operators outside the allowed list: {one_line(names)}; not opened"
        )
    for node in graph.nodes:
        if not (is_written_so(node) and has_its_codes(node, graph)):
            raise BundleError(
                f"{path} gives {node.operator} other inputs, outputs or attributes than any "
                "export; not opened"
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


def check_places(graph: OnnxGraph, weights: Mapping[str, Place], path: Path) -> None:
    """Compare the graph in `path` with what the manifest says of its weights.

    Raises:
        BundleError: naming the first that differs, and how.

    """
    parts = {
        tensor_name(name, part): place.parts[part]
        for name, place in weights.items()
        for part in place.parts
    }
    tensors = {tensor.name: tensor for tensor in graph.tensors.values() if tensor.place}
    for name in sorted(parts.keys() | tensors.keys()):
        if difference := _difference(tensors.get(name), parts.get(name)):
            raise BundleError(
                f"{path} and the manifest differ in {one_line(name, 80)}: {difference}; export the "
                "model again"
            )


def _difference(tensor: Tensor | None, part: Part | None) -> str:
    """Say how a tensor in a graph is not the part that the manifest tells of; "" for not at all."""
    if tensor is None or tensor.place is None or part is None:
        return f"it is in the {'manifest' if part else 'graph'} only"
    pairs = {
        "type": (tensor.type, _TYPES[part.type]),
        "dims": (tensor.dims, part.shape),
        "offset": (tensor.place.offset, part.offset),
        "length": (tensor.place.length, part.length),
    }
    for what, (in_graph, in_manifest) in pairs.items():
        if in_graph != in_manifest:
            return f"{what} {in_graph} and {in_manifest}"
    return ""
