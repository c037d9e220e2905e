"""What the native step needs of a graph: its tensors by name, and whether it looks like that step.

The library knows one model, as our export writes it. A graph is refused when its operators are not
as often there as that model has them, take other inputs, bias attention otherwise, or when a weight
has another name, shape, place or form. That is no proof: a graph made by hand could pass.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from ..bundle import Sizes
from ..errors import BundleError
from ..graphcheck import fields, messages

BLOCK, MOST_BLOCKS = 128, 512  # as in edge.h


class OtherGraphError(BundleError):
    """The graph is not the step that the library takes; onnxruntime runs it."""


_FLOAT, _HALF, _BYTES = 1, 10, 2  # element types of onnx.proto


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: in the data file from `offset` on, or in the graph as `raw`."""

    name: str
    type: int
    dims: tuple[int, ...]
    offset: int
    size: int  # bytes in the data file
    raw: bytes

    def is_in_file(self, item_bytes: int) -> bool:
        """Whether the data file has it, whole and at a place fit for items of so many bytes."""
        whole = prod(self.dims) * item_bytes == self.size
        return whole and not self.raw and self.offset % item_bytes == 0


@dataclass
class Graph:
    """Tensors by name, how often each operator is there, and the norms' epsilon."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, set[int]] = field(default_factory=dict)  # how many each operator takes
    epsilons: set[float] = field(default_factory=set)


def read_graph(path: Path) -> Graph:
    """Read a graph that was checked before (`graphcheck.check_graph`).

    Raises:
        OtherGraphError: when something in it is written otherwise than our export writes it.

    """
    graph = Graph()
    try:
        (found,) = messages(memoryview(path.read_bytes()), 7)
        for node in messages(found, 1):
            _read_node(node, graph)
        for message in messages(found, 5):
            tensor = _tensor(message)
            graph.tensors[tensor.name] = tensor
    except (ValueError, TypeError, struct.error) as error:
        raise OtherGraphError(f"{path} is of another make ({error})") from error
    return graph


def _read_node(node: memoryview, graph: Graph) -> None:
    inputs, operator = 0, ""
    for number, value in fields(node):
        if isinstance(value, int):
            continue
        if number == 1:
            inputs += 1
        elif number == 4:
            operator = str(value, "utf-8")
        elif number == 5:
            parts = dict(fields(value))
            name, number_bits = parts.get(1), parts.get(2)
            if isinstance(name, memoryview) and bytes(name) == b"epsilon":
                if not isinstance(number_bits, memoryview):
                    raise TypeError("an epsilon that is no float")
                graph.epsilons.add(struct.unpack("<f", number_bits)[0])
    graph.operators[operator] += 1
    graph.inputs.setdefault(operator, set()).add(inputs)


def _tensor(message: memoryview) -> Tensor:
    dims: list[int] = []
    name, raw, kind, places = "", b"", 0, {}
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            dims.append(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, memoryview):
            name = str(value, "utf-8")
        elif number == 9 and isinstance(value, memoryview):
            raw = bytes(value)
        elif number == 13 and isinstance(value, memoryview):
            pair = dict(fields(value))
            key, text = pair.get(1), pair.get(2)
            if isinstance(key, memoryview) and isinstance(text, memoryview):
                places[bytes(key)] = bytes(text)
    offset, size = int(places.get(b"offset", b"0")), int(places.get(b"length", b"0"))
    return Tensor(name, kind, tuple(dims), offset, size, raw)


@dataclass(frozen=True)
class Found:
    """Where a matrix of codes and scales lies, and how many bits a code has."""

    codes: Tensor
    scales: Tensor
    bits: int


def check_operators(graph: Graph, sizes: Sizes, turned: bool) -> None:
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
    for name, number in expected.items():
        if graph.operators[name] != number:
            raise OtherGraphError(
                f"the graph has {graph.operators[name]} {name}, the native step {number}; "
                "it runs on onnxruntime only, until it is exported again"
            )
    if graph.inputs["MatMulNBits"] != {3}:
        raise OtherGraphError("the graph's codes have zero points; it runs on onnxruntime only")
    if len(graph.epsilons) != 1 or not 0 < next(iter(graph.epsilons)) < 1:
        raise OtherGraphError(f"epsilons {graph.epsilons}; the graph runs on onnxruntime only")
    slopes = struct.pack(f"<{sizes.heads}f", *alibi_slopes(sizes.heads))
    if not any(tensor.raw == slopes for tensor in graph.tensors.values()):
        raise OtherGraphError("the graph has other slopes of ALiBi; it runs on onnxruntime only")


def alibi_slopes(heads: int) -> list[float]:
    """Return ALiBi's slopes (Press et al. 2022), also for heads that are no power of two."""
    whole = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (h + 1) / whole) for h in range(whole)]
    between = [2 ** (-4 * (h + 1) / whole) for h in range(0, 2 * whole, 2)]
    return [*slopes, *between][:heads]


def rows_of(graph: Graph, name: str) -> int:
    """Return how many rows a quantized matrix has; 0 where it is not there."""
    scales = graph.tensors.get(f"{name}.scales")
    return scales.dims[0] if scales is not None and scales.dims else 0


def matrix(graph: Graph, name: str, rows: int, cols: int, *, whole_blocks: bool = True) -> Found:
    """Return a quantized matrix.

    Args:
        graph: where it is.
        name: what it is called.
        rows: that it must have.
        cols: that it must have, in blocks of 128.
        whole_blocks: whether its rows are filled up to a whole block.

    Raises:
        OtherGraphError: when it is not there, or not of that size, or not of 4 or 8 bits.

    """
    codes = graph.tensors.get(f"{name}.codes")
    scales = graph.tensors.get(f"{name}.scales")
    if codes is None or scales is None or (codes.type, scales.type) != (_BYTES, _HALF):
        raise OtherGraphError(f"the graph has no quantized {name}; it runs on onnxruntime only")
    blocks = -(-cols // BLOCK)
    if blocks > MOST_BLOCKS:
        raise OtherGraphError(f"{name} has {cols} columns; it runs on onnxruntime only")
    values = rows * (blocks * BLOCK if whole_blocks else cols)
    bits, rest = divmod(8 * prod(codes.dims), values) if values else (0, 0)
    fits = scales.dims == (rows, blocks) and codes.is_in_file(1) and scales.is_in_file(2)
    if rest or bits not in (4, 8) or not fits:
        raise OtherGraphError(
            f"{name} is not {rows} x {cols} in blocks of {BLOCK}; it runs on onnxruntime only"
        )
    return Found(codes, scales, bits)


def vector(graph: Graph, name: str, length: int) -> Tensor:
    """Return a vector of floats.

    Raises:
        OtherGraphError: when it is not there or has another length.

    """
    found = graph.tensors.get(name)
    fits = found is not None and found.is_in_file(4)
    if found is None or (found.type, found.dims) != (_FLOAT, (length,)) or not fits:
        raise OtherGraphError(f"the graph has no {name} of {length}; it runs on onnxruntime only")
    return found


def turn(graph: Graph) -> Tensor | None:
    """Return the square matrix in the graph that values are turned by, if there is one."""
    square = [
        tensor
        for tensor in graph.tensors.values()
        if tensor.type == _FLOAT and len(tensor.dims) == 2
        and tensor.dims[0] == tensor.dims[1] > 1 and prod(tensor.dims) * 4 == len(tensor.raw)
    ]  # fmt: skip
    return square[0] if len(square) == 1 else None
