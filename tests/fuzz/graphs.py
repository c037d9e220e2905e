"""Changes to what a graph says: its nodes, how they are connected, its inputs and outputs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from . import tensors
from .wire import BYTES, Field, Message, copy, inside, number_in, put, text, values

# Beside those that the graph has: allowed ones that it has not, and others.
_OPERATORS = (
    ("", "Abs"), ("", "And"), ("", "ConstantOfShape"), ("", "Gather"), ("", "Max"), ("", "Slice"),
    ("", "QuantizeLinear"), ("", "ReduceMax"), ("com.microsoft", "MatMulIntegerToFloat"),
    ("", "Cos"), ("", "Div"), ("", "Gelu"), ("", "Pow"), ("", "ReduceMean"), ("", "Sqrt"),
    ("", "Transpose"), ("", "Identity"), ("", "Loop"), ("ai.onnx", "Add"), ("", "add"), ("", ""),
)  # fmt: skip


def change_graph(random: Random, model: Message) -> str:
    """Change one thing that a graph says, and say which."""
    return random.choice(_CHANGES)(random, model)


def _operator(random: Random, model: Message) -> str:
    """Have a node be another operator, or of another domain."""
    node = random.choice(inside(model, 7, 1))
    old = text(node, 4)
    used = sorted({(text(one, 7), text(one, 4)) for one in inside(model, 7, 1)})
    domain, name = random.choice([*used, *_OPERATORS])
    put(node, 4, name.encode())
    if random.random() < 0.8:
        put(node, 7, *([domain.encode()] if domain else []))
    return f"{old} is {domain}.{name}"


def _nodes(random: Random, model: Message) -> str:
    """Drop a node, have it twice, or move it."""
    graph = inside(model, 7)[0]
    nodes = [field for field in graph if field.number == 1]
    node = random.choice(nodes)
    assert isinstance(node.value, list)
    name = f"{text(node.value, 4)} {text(node.value, 3)}"
    change = random.choice(("dropped", "twice", "twice under other names", "moved", "all dropped"))
    if change in ("dropped", "moved"):
        graph.remove(node)
    if change == "moved":
        graph.insert(random.randrange(len(graph) + 1), node)
    if change == "all dropped":
        graph[:] = [field for field in graph if field.number != 1]
    if change.startswith("twice"):
        twin = copy(node.value)
        if change != "twice":
            put(twin, 2, *(b"twin%d" % i for i, _ in enumerate(values(twin, 2))))
        graph.insert(random.randrange(len(graph) + 1), Field(1, BYTES, twin))
    return f"{name}: {change}"


def _wires(random: Random, model: Message) -> str:
    """Connect an input or output of a node with something else."""
    graph = inside(model, 7)[0]
    nodes = inside(model, 7, 1)
    node, number = random.choice(nodes), random.choice((1, 1, 1, 2))
    names = [v for v in values(node, number) if isinstance(v, bytes)]
    everything = [v for one in nodes for n in (1, 2) for v in values(one, n)]
    everything += [text(t, 8).encode() for t in inside(graph, 5)]
    other = random.choice([v for v in everything if isinstance(v, bytes)])
    other = random.choice((other, other, other, b"", b"nothing", b"input_ids", b"logits"))
    change = random.choice(("replace", "replace", "add", "drop"))
    if change == "replace" and names:
        names[random.randrange(len(names))] = other
    elif change == "add" or not names:
        names.append(other)
    else:
        names.pop(random.randrange(len(names)))
    put(node, number, *names)
    side = "output" if number == 2 else "input"
    return f"{text(node, 4)} {text(node, 3)}: {side} {change} {str(other, 'utf-8', 'replace')}"


def _attribute(random: Random, model: Message) -> str:
    """Change a number, a type or the name of an attribute."""
    nodes = [node for node in inside(model, 7, 1) if inside(node, 5)]
    node = random.choice(nodes)
    attribute = random.choice(inside(node, 5))
    name = text(attribute, 1)
    change = random.choice(("value", "value", "value", "type", "name", "drop", "list"))
    if change == "value":
        number = random.choice((*tensors.SIZES, 4, 8, 32, 64, 128, 256, 16))
        if number_in(attribute, 20) == 1:
            real = random.choice((float("nan"), float("inf"), 0.0, -1.0, 1e-30, 1e30, 0.5))
            for field in attribute:
                field.value = struct.pack("<f", real) if field.number == 2 else field.value
            return f"{text(node, 4)}: {name} is {real}"
        put(attribute, random.choice((3, 3, 8)), number)
        return f"{text(node, 4)}: {name} is {number}"
    if change == "type":
        put(attribute, 20, random.choice(range(15)))
    elif change == "name":
        put(attribute, 1, random.choice((b"", b"x", b"block_size", b"bits", b"K", b"N", b"axis")))
    elif change == "drop":
        node[:] = [field for field in node if field.value is not attribute]
    else:
        put(attribute, 8, *range(random.choice((1, 5, 1000))))
    return f"{text(node, 4)}: {name}, {change}"


def _face(random: Random, model: Message) -> str:
    """Change the graph's inputs and outputs, or what it says of values within."""
    graph = inside(model, 7)[0]
    number = random.choice((11, 12))
    value = random.choice(inside(graph, number))
    name = text(value, 1)
    change = random.choice(("axis", "axis", "type", "name", "drop", "shape", "inside"))
    axes = inside(value, 2, 1, 2, 1)
    if change == "axis" and axes:
        size = random.choice((*tensors.SIZES, 15, 17, 448, 420))
        random.choice(axes)[:] = [Field(1, 0, size)]
        return f"{name}: an axis of {size}"
    if change == "type":
        for kind in inside(value, 2, 1):
            put(kind, 1, random.choice(tensors.TYPES))
    elif change == "name":
        put(value, 1, random.choice((b"", b"x", b"past.9.key", b"logits", b"input_ids")))
    elif change == "drop":
        graph[:] = [field for field in graph if field.value is not value]
    elif change == "shape":
        for kind in inside(value, 2, 1):
            put(kind, 2)
    else:
        graph.append(Field(13, BYTES, copy(value)))
    return f"{name}: {change}"


def _versions(random: Random, model: Message) -> str:
    number = random.choice((0, 1, 3, 9, 11, 13, 99, 2**40, -1))
    opsets = inside(model, 8)
    if opsets and random.random() < 0.7:
        put(random.choice(opsets), 2, number)
        return f"opset {number}"
    put(model, 1, number)
    return f"IR version {number}"


_CHANGES: tuple[Callable[[Random, Message], str], ...] = (
    tensors.place, tensors.place, tensors.swap_places, tensors.dims, tensors.dims, tensors.constant,
    tensors.constant, tensors.data, _operator, _nodes, _wires, _wires, _attribute, _attribute,
    _face, _face, _versions,
)  # fmt: skip
