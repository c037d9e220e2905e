"""What an ONNX file asks for, read before anything executes it.

The runtime does without the onnx package, so this walks the protobuf wire format itself. Field
numbers are those of onnx.proto. It knows nothing of this project's bundles: it lists operators
and external data, and refuses what a plain inference graph never needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import BundleError

LIMIT_BYTES = 64 * 2**20  # a graph without its weights is far smaller

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

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


@dataclass
class GraphSummary:
    """Operators (domain, name) and external data (location, offset, length) of a graph."""

    operators: set[tuple[str, str]] = field(default_factory=set)
    external: list[tuple[str, int, int]] = field(default_factory=list)


def summarize(path: Path) -> GraphSummary:
    """Read the operators and the external data that the graph at `path` names.

    Raises:
        BundleError: when the file is no ONNX graph, is larger than `LIMIT_BYTES`, or holds
            functions, subgraphs, training information or sparse tensors.

    """
    if path.stat().st_size > LIMIT_BYTES:
        raise BundleError(
            f"{path} is over {LIMIT_BYTES} bytes, too large for a graph; export again"
        )
    summary = GraphSummary()
    try:
        _read_model(memoryview(path.read_bytes()), summary)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not a readable ONNX graph ({error}); export again") from error
    return summary


def check_graph(path: Path, data: Path) -> None:
    """Refuse a graph that asks for an unknown operator, or for data outside the file `data`.

    Raises:
        BundleError: with the first operators or places that are not allowed.

    """
    summary = summarize(path)
    unknown = sorted(summary.operators - ALLOWED_OPERATORS)
    if unknown:
        names = ", ".join(f"{domain or 'ai.onnx'}.{name}" for domain, name in unknown[:5])
        raise BundleError(f"{path} uses operators outside the allowed list: {names}; not opened")
    available = data.stat().st_size
    for location, offset, length in summary.external:
        if location != data.name:
            raise BundleError(
                f"{path} asks for data in {location!r}; only {data.name!r} is allowed; not opened"
            )
        if offset < 0 or length < 0 or offset + length > available:
            raise BundleError(f"{path} asks for bytes beyond the end of {data.name}; export again")


def fields(buffer: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message.

    Raises:
        ValueError: when it is no message.

    """
    at = 0
    while at < len(buffer):
        key, at = _varint(buffer, at)
        number, wire = key >> 3, key & 7
        # Other readers cut a longer tag down to 32 bits, and would see a field that we do not.
        if key >= 2**32 or number == 0:
            raise ValueError(f"tag {key}")
        if wire == _VARINT:
            value, at = _varint(buffer, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(buffer, at)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(buffer):
            raise ValueError("cut short")
        yield number, buffer[at : at + size]
        at += size


def _varint(buffer: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("number too long")


def messages(buffer: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the values of one field that are messages, texts or bytes."""
    for found, value in fields(buffer):
        if found == number and isinstance(value, memoryview):
            yield value


def _refuse(buffer: memoryview, numbers: dict[int, str]) -> None:
    for number, _ in fields(buffer):
        if number in numbers:
            raise ValueError(f"holds {numbers[number]}")


def _read_model(model: memoryview, summary: GraphSummary) -> None:
    _refuse(model, {20: "training information", 25: "functions"})
    graphs = list(messages(model, 7))
    if len(graphs) != 1:
        raise ValueError("no graph")
    _refuse(graphs[0], {15: "sparse tensors"})
    for node in messages(graphs[0], 1):
        _read_node(node, summary)
    for tensor in messages(graphs[0], 5):
        _read_tensor(tensor, summary)


def _read_node(node: memoryview, summary: GraphSummary) -> None:
    operator = domain = ""
    for number, value in fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == 4:
            operator = str(value, "utf-8")
        elif number == 7:
            domain = str(value, "utf-8")
        elif number == 5:
            _refuse(value, {6: "a subgraph", 11: "subgraphs", 22: "sparse", 23: "sparse"})
            for tensor in (*messages(value, 5), *messages(value, 10)):
                _read_tensor(tensor, summary)
    summary.operators.add((domain, operator))


def _read_tensor(tensor: memoryview, summary: GraphSummary) -> None:
    entries = {}
    for entry in messages(tensor, 13):
        pair = {
            number: bytes(value) for number, value in fields(entry) if not isinstance(value, int)
        }
        entries[str(pair.get(1, b""), "utf-8")] = str(pair.get(2, b""), "utf-8")
    if strange := entries.keys() - {"location", "offset", "length", "checksum"}:
        raise ValueError(f"external data with {', '.join(sorted(strange))}")
    if entries:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "0"))
        summary.external.append((entries.get("location", ""), offset, length))
