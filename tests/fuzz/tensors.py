"""Changes to a graph's tensors: sizes, data, and where in the weights' file they lie."""

from __future__ import annotations

import struct
from random import Random

from .wire import BYTES, Field, Message, copy, inside, number_in, put, text, values

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
TYPES = tuple(range(24))
SIZES = (0, 1, 2, 3, 5, 16, 95, 97, 128, 192, 2**20, 2**31, 2**40, 2**63 - 1, -1, -(2**63))


def place(random: Random, model: Message) -> str:
    """Change offset, length or location of a weight; or say one of them twice."""
    tensor = random.choice([one for one in _all(model) if inside(one, 13)])
    entry = random.choice(inside(tensor, 13))
    key, old = text(entry, 1), text(entry, 2)
    value = random.choice(_LOCATIONS if key == "location" else _OFFSETS)
    if key != "location" and random.random() < 0.5:
        number = int(old or 0)
        value = str(random.choice((number + 1, number - 1, 2 * number, number + 64, 10 * number)))
    if random.random() < 0.3:
        at = random.choice((0, len(tensor)))
        twin = [Field(1, BYTES, key.encode()), Field(2, BYTES, value.encode())]
        tensor.insert(at, Field(13, BYTES, twin))
        return f"{text(tensor, 8)}: {key} twice, {old} and {value!r}"
    put(entry, 2, value.encode())
    return f"{text(tensor, 8)}: {key} {old} is {value!r}"


def swap_places(random: Random, model: Message) -> str:
    """Exchange the places, or the names, of two tensors."""
    tensors = [one for one in _all(model) if inside(one, 13)]
    one, other = random.sample(tensors, 2)
    number = random.choice((13, 13, 8, 1))
    mine, theirs = ([f for f in t if f.number == number] for t in (one, other))
    one[:] = [*(f for f in one if f.number != number), *theirs]
    other[:] = [*(f for f in other if f.number != number), *mine]
    return f"{text(one, 8)} and {text(other, 8)} exchange field {number}"


def dims(random: Random, model: Message) -> str:
    """Change the sizes of a tensor, with or without its place."""
    tensor = random.choice(_all(model))
    dims = [v for v in values(tensor, 1) if isinstance(v, int)]
    old = list(dims)
    change = random.choice(("one", "one", "one", "add", "drop", "none", "reverse"))
    if change == "one" and dims:
        at = random.randrange(len(dims))
        dims[at] = random.choice((*SIZES, dims[at] + 1, dims[at] - 1, 2 * dims[at]))
    elif change == "add":
        dims.insert(random.randrange(len(dims) + 1), random.choice((1, *SIZES)))
    elif change == "drop" and dims:
        dims.pop(random.randrange(len(dims)))
    elif change == "none":
        dims = []
    else:
        dims.reverse()
    put(tensor, 1, *dims)
    return f"{text(tensor, 8)}: dims {old} are {dims}"


def constant(random: Random, model: Message) -> str:
    """Give a small constant other numbers: they become shapes, axes and limits."""
    small = [t for t in _all(model) if any(len(v) <= 64 for v in _raw(t))]
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


def data(random: Random, model: Message) -> str:
    """Give a tensor data of its own, of a wrong length or kind, or another type."""
    tensor = random.choice(_all(model))
    name = text(tensor, 8)
    change = random.choice(("raw", "type", "floats", "strings", "place", "drop", "twice"))
    graph = inside(model, 7)[0]
    if change == "raw":
        size = random.choice((0, 1, 3, 8, 100, 10_000))
        put(tensor, 9, random.randbytes(size))
        return f"{name}: raw data of {size} bytes"
    if change == "type":
        kind = random.choice(TYPES)
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
    graph.append(Field(5, BYTES, copy(tensor)))
    other = graph[-1].value
    assert isinstance(other, list)
    put(other, 1, random.choice((1, 2**31)))
    return f"{name}: twice, with other sizes"


def _all(model: Message) -> list[Message]:
    return inside(model, 7, 5)


def _raw(tensor: Message) -> list[bytes]:
    return [value for value in values(tensor, 9) if isinstance(value, bytes)]
