"""ONNX files as records.

The runtime does without the onnx package, and what it reads of a file must be what onnxruntime will
read of it: see wire.py. Field numbers and types are those of onnx.proto; fields that our exporter
has no use for are not listed, and so refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ..errors import BundleError, one_line
from .wire import Field, Messages, Record, Refused, parse

LIMIT_BYTES = 64 * 2**20  # a graph without its weights is far smaller

FLOAT, UINT8, INT8, INT32, INT64, BOOL, HALF = 1, 2, 3, 6, 7, 9, 10  # TensorProto.DataType
ITEM_BYTES = {FLOAT: 4, UINT8: 1, INT8: 1, INT32: 4, INT64: 8, BOOL: 1, HALF: 2}
_EXTERNAL = 1  # TensorProto.DataLocation

_META = Field("metadata", "StringStringEntryProto", repeated=True)
MESSAGES: Messages = {
    "ModelProto": {
        1: Field("ir_version", "int64"),
        2: Field("producer_name", "string"),
        3: Field("producer_version", "string"),
        4: Field("domain", "string"),
        5: Field("model_version", "int64"),
        6: Field("doc", "string"),
        7: Field("graph", "GraphProto"),
        8: Field("opsets", "OperatorSetIdProto", repeated=True),
        14: _META,
        20: Refused("training information"),
        25: Refused("functions"),
    },
    "OperatorSetIdProto": {1: Field("domain", "string"), 2: Field("version", "int64")},
    "StringStringEntryProto": {1: Field("key", "string"), 2: Field("value", "string")},
    "GraphProto": {
        1: Field("nodes", "NodeProto", repeated=True),
        2: Field("name", "string"),
        5: Field("initializers", "TensorProto", repeated=True),
        10: Field("doc", "string"),
        11: Field("inputs", "ValueInfoProto", repeated=True),
        12: Field("outputs", "ValueInfoProto", repeated=True),
        13: Field("values", "ValueInfoProto", repeated=True),
        15: Refused("sparse tensors"),
        16: _META,
    },
    "NodeProto": {
        1: Field("inputs", "string", repeated=True),
        2: Field("outputs", "string", repeated=True),
        3: Field("name", "string"),
        4: Field("operator", "string"),
        5: Field("attributes", "AttributeProto", repeated=True),
        6: Field("doc", "string"),
        7: Field("domain", "string"),
        9: _META,
    },
    "AttributeProto": {
        1: Field("name", "string"),
        2: Field("f", "float"),
        3: Field("i", "int64"),
        4: Field("s", "bytes"),
        5: Field("t", "TensorProto"),
        6: Refused("a subgraph"),
        8: Field("ints", "int64", repeated=True),
        11: Refused("subgraphs"),
        13: Field("doc", "string"),
        20: Field("type", "int32"),
        22: Refused("sparse tensors"),
        23: Refused("sparse tensors"),
    },
    "TensorProto": {
        1: Field("dims", "int64", repeated=True),
        2: Field("type", "int32"),
        8: Field("name", "string"),
        9: Field("raw", "bytes"),
        12: Field("doc", "string"),
        13: Field("external", "StringStringEntryProto", repeated=True),
        14: Field("location", "int32"),
        16: _META,
    },
    "ValueInfoProto": {
        1: Field("name", "string"),
        2: Field("type", "TypeProto"),
        3: Field("doc", "string"),
        4: _META,
    },
    "TypeProto": {1: Field("tensor", "TypeProto.Tensor"), 6: Field("denotation", "string")},
    "TypeProto.Tensor": {1: Field("element", "int32"), 2: Field("shape", "TensorShapeProto")},
    "TensorShapeProto": {1: Field("dims", "TensorShapeProto.Dimension", repeated=True)},
    "TensorShapeProto.Dimension": {
        1: Field("size", "int64"),
        2: Field("symbol", "string"),
        3: Field("denotation", "string"),
    },
}


@dataclass(frozen=True)
class Place:
    """Where bytes lie in a file of external data."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True)
class Tensor:
    """An initializer: its bytes are `raw`, in the graph itself, or lie at `place`."""

    name: str
    type: int  # TensorProto.DataType
    dims: tuple[int, ...]
    raw: bytes
    place: Place | None


@dataclass(frozen=True)
class Node:
    """An operator, and its attributes by name: an int, float, bytes, ints or `Tensor` each."""

    domain: str
    operator: str
    inputs: tuple[str, ...]
    outputs: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class OnnxGraph:
    """What a file holds; sizes of inputs and outputs are numbers or, where they vary, names."""

    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]
    shapes: dict[str, tuple[int | str, ...]]  # of inputs and outputs


def read_graph(path: Path) -> OnnxGraph:
    """Read the graph in a file.

    Raises:
        BundleError: when the file is no ONNX graph for inference, is written as our exporter
            writes none, or is larger than `LIMIT_BYTES`.

    """
    if path.stat().st_size > LIMIT_BYTES:
        raise BundleError(
            f"{path} is over {LIMIT_BYTES} bytes, too large for a graph; export again"
        )
    try:
        return _graph(parse(path.read_bytes(), "ModelProto", MESSAGES))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path} is not a readable ONNX graph ({one_line(error)}); export again"
        ) from error


def _graph(model: Record) -> OnnxGraph:
    if "graph" not in model:
        raise ValueError("no graph")
    graph: Record = model["graph"]
    tensors = [_tensor(record) for record in graph.get("initializers", ())]
    values = [*graph.get("inputs", ()), *graph.get("outputs", ())]
    shapes = {value.get("name", ""): _shape(value) for value in values}
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(by_name) < len(tensors) or len(shapes) < len(values) or by_name.keys() & shapes.keys():
        raise ValueError("two values have one name")
    return OnnxGraph(tuple(map(_node, graph.get("nodes", ()))), by_name, shapes)


def _node(record: Record) -> Node:
    attributes: dict[str, Any] = {}
    for attribute in record.get("attributes", ()):
        values = [attribute[key] for key in ("f", "i", "s", "t", "ints") if key in attribute]
        name = attribute.get("name", "")
        if name in attributes or len(values) > 1:
            raise ValueError(f"attribute {name!r} has several values")
        value = values[0] if values else None
        if isinstance(value, dict):
            value = _tensor(value)
            if value.place is not None:
                raise ValueError(f"attribute {name!r} has external data")
        attributes[name] = value
    operator, domain = record.get("operator", ""), record.get("domain", "")
    inputs, outputs = tuple(record.get("inputs", ())), len(record.get("outputs", ()))
    return Node(domain, operator, inputs, outputs, attributes)


def _tensor(record: Record) -> Tensor:
    """Return a tensor whose bytes are as many as its type and dimensions take."""
    kind, dims = record.get("type", 0), tuple(record.get("dims", ()))
    raw, place = record.get("raw"), _place(record)
    name = record.get("name", "")
    if kind not in ITEM_BYTES or any(size < 0 for size in dims):
        raise ValueError(f"tensor {name!r} has type {kind} and dimensions {dims}")
    if (raw is None) == (place is None) and (prod(dims) or place):
        raise ValueError(f"tensor {name!r} has bytes in the graph and outside, or none")
    size = place.length if place else len(raw or b"")
    if size != prod(dims) * ITEM_BYTES[kind]:
        raise ValueError(f"tensor {name!r} of {dims} has {size} bytes")
    return Tensor(name, kind, dims, raw or b"", place)


def _place(record: Record) -> Place | None:
    entries = [(pair.get("key", ""), pair.get("value", "")) for pair in record.get("external", ())]
    external = dict(entries)
    if strange := external.keys() - {"location", "offset", "length"}:
        raise ValueError(f"external data with {', '.join(sorted(strange))}")
    if len(external) < len(entries) or bool(entries) != (record.get("location", 0) == _EXTERNAL):
        raise ValueError("external data is named twice, or by half")
    if not entries:
        return None
    return Place(
        external.get("location", ""), *(_digits(external, k) for k in ("offset", "length"))
    )


def _digits(entries: dict[str, str], key: str) -> int:
    """Return a number that every reader reads alike: no sign, no space, no other alphabet."""
    text = entries.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"external data with {key} {text[:30]!r}")
    return int(text)


def _shape(value: Record) -> tuple[int | str, ...]:
    """Return the sizes of an input or output; "" where one is not said."""
    dims = value.get("type", {}).get("tensor", {}).get("shape", {}).get("dims", ())
    if any("size" in dim and "symbol" in dim for dim in dims):
        raise ValueError(f"{value.get('name', '')!r} has a size that is a number and a name")
    return tuple(dim.get("size", dim.get("symbol", "")) for dim in dims)
