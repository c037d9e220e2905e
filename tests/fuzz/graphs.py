"""Changes to what a graph says: its nodes, its constants, and where its weights lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from .wire import BYTES, Field, Message, inside, number_in, put, text, values

_OFFSETS = (
    "-1", "0", "1", "3", "7", "", " ", "+0", " 0", "0 ", "00", "0x0", "1_0", "1e3", "1.0", "\u0661",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775808",
    "4294967296", "999999999999999999999999999999",
)  # fmt: skip
_LOCATIONS = (
    "", "x", ".", "..", "../refact_edge.json", "/etc/passwd", "engine_q4.onnx",
    "model_int8.onnx_data", "./model_q4.onnx_data", "model_q4.onnx_data/",
    "model_q4.onnx_data\0x", "MODEL_Q4.onnx_data",
    "*/_ORT_MEM_ADDR_/*", "model_q4.onnx_data ", "../onnx/model_q4.onnx_data",
)  # fmt: skip
# Beside those that the graph has: allowed ones that it has not, and others.
_OPERATORS = (
    ("", "Abs"), ("", "And"), ("", "ConstantOfShape"), ("", "Gather"), ("", "Max"), ("", "Slice"),
    ("", "QuantizeLinear"), ("", "ReduceMax"), ("com.microsoft", "MatMulIntegerToFloat"),
    ("", "Identity"), ("", "Loop"), ("ai.onnx", "Add"), ("", "add"), ("", ""),
)  # fmt: skip
_TYPES = tuple(range(24))
_SIZES = (0, 1, 2, 3, 5, 16, 95, 97, 128, 192, 2**20, 2**31, 2**40, 2**63 - 1, -1, -(2**63))


def change_graph(random: Random, model: Message) -> str:
    """Change one thing that a graph says, and say which."""
    return random.choice(_CHANGES)(random, model)


def _place(random: Random, model: Message) -> str:
    """Change offset, length or location of a weight; or say one of them twice."""
    tensor = random.choice([one for one in _tensors(model) if inside(one, 13)])
    entry = random.choice(inside(tensor, 13))
    key, old = text(entry, 1), text(entry, 2)
    value = random.choice(_LOCATIONS if key == "location" else _OFFSETS)
    if key != "location" and random.random() < 0.5:
        number = int(old or 0)
        value = str(random.choice((number + 1, number - 1, 2 * number, number + 64, 10 * number)))
    if random.random() < 0.3:
        put_at = random.choice((0, len(tensor)))
        twin = [Field(1, BYTES, key.encode()), Field(2, BYTES, value.encode())]
        tensor.insert(put_at, Field(13, BYTES, twin))
        return f"{text(tensor, 8)}: {key} twice, {old} and {value!r}"
    put(entry, 2, value.encode())
    return f"{text(tensor, 8)}: {key} {old} is {value!r}"


def _swap_places(random: Random, model: Message) -> str:
    """Exchange the places, or the names, of two tensors."""
    tensors = [one for one in _tensors(model) if inside(one, 13)]
    one, other = random.sample(tensors, 2)
    number = random.choice((13, 13, 8, 1))
    mine, theirs = ([f for f in t if f.number == number] for t in (one, other))
    one[:] = [*(f for f in one if f.number != number), *theirs]
    other[:] = [*(f for f in other if f.number != number), *mine]
    return f"{text(one, 8)} and {text(other, 8)} exchange field {number}"


def _dims(random: Random, model: Message) -> str:
    """Change the sizes of a tensor, with or without its place."""
    tensor = random.choice(_tensors(model))
    dims = [v for v in values(tensor, 1) if isinstance(v, int)]
    old = list(dims)
    change = random.choice(("one", "one", "one", "add", "drop", "none", "reverse"))
    if change == "one" and dims:
        at = random.randrange(len(dims))
        dims[at] = random.choice((*_SIZES, dims[at] + 1, dims[at] - 1, 2 * dims[at]))
    elif change == "add":
        dims.insert(random.randrange(len(dims) + 1), random.choice((1, *_SIZES)))
    elif change == "drop" and dims:
        dims.pop(random.randrange(len(dims)))
    elif change == "none":
        dims = []
    else:
        dims.reverse()
    put(tensor, 1, *dims)
    return f"{text(tensor, 8)}: dims {old} are {dims}"


def _constant(random: Random, model: Message) -> str:
    """Give a small constant other numbers: they become shapes, axes and limits."""
    small = [t for t in _tensors(model) if any(len(v) <= 64 for v in _raw(t))]
    if not small:
        return "no constants"
    tensor = random.choice(small)
    raw = bytearray(next(iter(_raw(tensor))))
    number = random.choice((0, 1, -1, 2, -2, 3, 7, 1000, 2**20, 2**31, 2**40, 2**62, -(2**63)))
    if number_in(tensor, 2) == 7 and len(raw) >= 8:
        struct.pack_into("<q", raw, 8 * random.randrange(len(raw) // 8), number)
    elif len(raw) >= 4:
        value = random.choice((float("nan"), float("inf"), float(number), 1e38))
        struct.pack_into("<f", raw, 4 * random.randrange(len(raw) // 4), value)
    put(tensor, 9, bytes(raw))
    return f"{text(tensor, 8)}: holds {number}"


def _data(random: Random, model: Message) -> str:
    """Give a tensor data of its own, of a wrong length or kind, or another type."""
    tensor = random.choice(_tensors(model))
    name = text(tensor, 8)
    change = random.choice(("raw", "type", "floats", "strings", "place", "drop", "twice"))
    graph = inside(model, 7)[0]
    if change == "raw":
        size = random.choice((0, 1, 3, 8, 100, 10_000))
        put(tensor, 9, random.randbytes(size))
        return f"{name}: raw data of {size} bytes"
    if change == "type":
        kind = random.choice(_TYPES)
        put(tensor, 2, kind)
        return f"{name}: type {kind}"
    if change in ("floats", "strings"):
        number = 4 if change == "floats" else 6
        put(tensor, number, random.randbytes(4 * random.randint(1, 50)))
        return f"{name}: {change} beside its data"
    if change == "place":
        kind = random.choice((0, 1, 2, 99))
        put(tensor, 14, kind)
        return f"{name}: data location {kind}"
    own = next(f for f in graph if f.number == 5 and f.value is tensor)
    if change == "drop":
        graph.remove(own)
        return f"{name}: dropped"
    graph.append(Field(5, BYTES, _copy(tensor)))
    other = graph[-1].value
    assert isinstance(other, list)
    put(other, 1, random.choice((1, 2**31)))
    return f"{name}: twice, with other sizes"


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
        twin = _copy(node.value)
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
        number = random.choice((*_SIZES, 4, 8, 32, 64, 128, 256, 16))
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
        size = random.choice((*_SIZES, 15, 17, 448, 420))
        random.choice(axes)[:] = [Field(1, 0, size)]
        return f"{name}: an axis of {size}"
    if change == "type":
        for kind in inside(value, 2, 1):
            put(kind, 1, random.choice(_TYPES))
    elif change == "name":
        put(value, 1, random.choice((b"", b"x", b"past.9.key", b"logits", b"input_ids")))
    elif change == "drop":
        graph[:] = [field for field in graph if field.value is not value]
    elif change == "shape":
        for kind in inside(value, 2, 1):
            put(kind, 2)
    else:
        graph.append(Field(13, BYTES, _copy(value)))
    return f"{name}: {change}"


def _versions(random: Random, model: Message) -> str:
    number = random.choice((0, 1, 3, 9, 11, 13, 99, 2**40, -1))
    opsets = inside(model, 8)
    if opsets and random.random() < 0.7:
        put(random.choice(opsets), 2, number)
        return f"opset {number}"
    put(model, 1, number)
    return f"IR version {number}"


def _tensors(model: Message) -> list[Message]:
    return inside(model, 7, 5)


def _raw(tensor: Message) -> list[bytes]:
    return [value for value in values(tensor, 9) if isinstance(value, bytes)]


def _copy(message: Message) -> Message:
    return [
        Field(f.number, f.wire, _copy(f.value) if isinstance(f.value, list) else f.value)
        for f in message
    ]


_CHANGES: tuple[Callable[[Random, Message], str], ...] = (
    _place, _place, _swap_places, _dims, _dims, _constant, _constant, _data, _operator, _nodes,
    _wires, _wires, _attribute, _attribute, _face, _face, _versions,
)  # fmt: skip
