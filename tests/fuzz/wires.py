"""Changes to a graph's protobuf: what other readers may understand otherwise."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .wire import BYTES, FIXED32, FIXED64, VARINT, Field, Message, inside

# Kinds of messages in a model, by the fields that lead there.
_PATHS: dict[str, tuple[int, ...]] = {
    "model": (),
    "opset": (8,),
    "graph": (7,),
    "node": (7, 1),
    "attribute": (7, 1, 5),
    "tensor": (7, 5),
    "external data": (7, 5, 13),
    "input": (7, 11),
    "output": (7, 12),
    "input's axis": (7, 11, 2, 1, 2, 1),
}


def change_wire(random: Random, model: Message) -> str:
    """Change one field of one message, and say how."""
    kind = random.choice(list(_PATHS))
    messages = [message for message in inside(model, *_PATHS[kind]) if message]
    if not messages:
        return f"no {kind}"
    message = random.choice(messages)
    field = random.choice(message)
    change = random.choice(_CHANGES)
    return f"{kind}, field {field.number}: {change(random, message, field)}"


def _other_wire(random: Random, message: Message, field: Field) -> str:
    """Put the same number with another wire type beside the field, or in its place."""
    wire = random.choice([w for w in (VARINT, FIXED64, BYTES, FIXED32) if w != field.wire])
    sizes = {FIXED64: 8, FIXED32: 4, BYTES: random.choice((0, 1, 4, 8))}
    value = random.choice((0, 1, 2**63)) if wire == VARINT else random.randbytes(sizes[wire])
    at = message.index(field)
    where = random.choice(("before", "behind", "in its place"))
    message[at + (where == "behind") : at + (where != "before")] = [
        Field(field.number, wire, value)
    ]
    return f"wire type {wire} {where}"


def _repeat(random: Random, message: Message, field: Field) -> str:
    """Have a field twice, with its own value or another's."""
    same = [one for one in message if one.wire == field.wire]
    other = random.choice([field, *same])
    message.insert(random.randrange(len(message) + 1), Field(field.number, field.wire, other.value))
    return f"again, as field {other.number} is"


def _pad(random: Random, _: Message, field: Field) -> str:
    field.padding = random.choice((1, 1, 2, 3, 5, 8, 9, 10, 20))
    return f"{field.padding} bytes of padding in its number"


def _drop(_random: Random, message: Message, field: Field) -> str:
    message.remove(field)
    return "dropped"


def _replace(random: Random, _: Message, field: Field) -> str:
    if field.wire == VARINT:
        field.value = random.choice((0, 1, 2, 7, 10, 16, 2**31, 2**32 + 1, 2**63, 2**64 - 1))
        return f"is {field.value}"
    if field.wire == BYTES:
        texts = (b"", b"\0", b"\xff\xfe", b"x", b"x" * 10_000, b"../x", random.randbytes(8))
        field.value = random.choice(texts)
        return f"is {field.value[:12]!r}"
    field.value = random.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * (
        4 if field.wire == FIXED32 else 8
    )
    return f"is {field.value!r}"


def _renumber(random: Random, _: Message, field: Field) -> str:
    old = field.number
    field.number = random.choice(
        (1, 2, 4, 5, 7, 9, 13, 14, 15, 20, 25, 1000, 2**29 - 1, 2**29 + old)
    )
    return f"is field {field.number}"


def _unknown(random: Random, message: Message, field: Field) -> str:
    number = random.choice((6, 10, 11, 15, 20, 21, 22, 23, 25, 26, 500, 2**28))
    value: int | bytes = random.choice((0, b"", b"\x08\x01", b"\x0a\x00", random.randbytes(6)))
    wire = VARINT if isinstance(value, int) else BYTES
    message.insert(message.index(field), Field(number, wire, value))
    return f"field {number} before it"


def _group(random: Random, message: Message, field: Field) -> str:
    """Put the field into a group, which protobuf still reads (and skips)."""
    at = message.index(field)
    number = random.choice((field.number, 99))
    message[at : at + 1] = [Field(number, 3, b""), field, Field(number, 4, b"")]
    return f"in group {number}"


def _nest(random: Random, message: Message, field: Field) -> str:
    content = b""
    for _ in range(random.choice((50, 200, 5000))):
        content = bytes([0x3A, *_length(len(content))]) + content
        if len(content) > 100_000:
            break
    message.append(Field(field.number, BYTES, content))
    return "and messages deep in each other"


def _length(size: int) -> list[int]:
    return [size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F]


def _move(random: Random, message: Message, field: Field) -> str:
    message.remove(field)
    at = random.randrange(len(message) + 1)
    message.insert(at, field)
    return f"moved to place {at}"


_CHANGES: tuple[Callable[[Random, Message, Field], str], ...] = (
    _other_wire, _other_wire, _repeat, _repeat, _pad, _drop, _replace, _replace, _renumber,
    _unknown, _group, _nest, _move,
)  # fmt: skip
