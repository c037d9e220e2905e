"""What an ONNX file asks for, looked at before anything executes it.

It knows nothing of this project's bundles: it refuses operators and external data that a graph of
our export never has.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import BundleError, one_line
from .onnxfile import OnnxGraph, read_graph
from .operators import OPERATORS, has_its_codes, is_written_so


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
