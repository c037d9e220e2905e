"""The protobuf wire format, taken apart and put together, also as no honest writer would.

The product's own reader (runtime/bundle/graphcheck.py) is what is tested, so it is not used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}


@dataclass
class Field:
    """One field: a number, the bytes of a fixed or unread one, or the fields of a message."""

    number: int
    wire: int
    value: int | bytes | Message
    padding: int = 0  # empty bytes at the end of its number or length


Message = list[Field]


@dataclass(frozen=True)
class Shape:
    """Which fields of a message are messages themselves."""

    inside: dict[int, Shape]


_LEAF = Shape({})
_TENSOR = Shape({13: _LEAF})
_NODE = Shape({5: Shape({5: _TENSOR})})
_VALUE = Shape({2: Shape({1: Shape({2: Shape({1: _LEAF})})})})
_GRAPH = Shape({1: _NODE, 5: _TENSOR, 11: _VALUE, 12: _VALUE, 13: _VALUE})
MODEL = Shape({7: _GRAPH, 8: _LEAF, 14: _LEAF})  # of onnx.proto


def parse(data: bytes, shape: Shape = MODEL) -> Message:
    """Return the fields of a well-formed message."""
    fields: Message = []
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _read_varint(data, at)
            fields.append(Field(number, wire, value))
            continue
        size = _SIZES.get(wire, 0)
        if wire == BYTES:
            size, at = _read_varint(data, at)
        content = data[at : at + size]
        at += size
        if wire == BYTES and number in shape.inside:
            fields.append(Field(number, wire, parse(content, shape.inside[number])))
        else:
            fields.append(Field(number, wire, content))
    return fields


def encode(message: Message) -> bytes:
    """Return a message's bytes; a value that does not fit its wire type is written all the same."""
    return b"".join(map(_encode_field, message))


def _encode_field(field: Field) -> bytes:
    tag = varint(field.number << 3 | field.wire)
    value = field.value
    if isinstance(value, int):
        return tag + varint(value, field.padding)
    content = encode(value) if isinstance(value, list) else value
    if field.wire == BYTES:
        return tag + varint(len(content), field.padding) + content
    return tag + content


def varint(value: int, padding: int = 0) -> bytes:
    """Return a number in 7-bit groups; negative ones as 64 bits. Padding adds empty groups."""
    value %= 2**64
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    groups += [0] * padding
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def inside(message: Message, *path: int) -> list[Message]:
    """Return the messages that the field numbers of `path` lead to."""
    level = [message]
    for number in path:
        level = [
            field.value
            for one in level
            for field in one
            if field.number == number and isinstance(field.value, list)
        ]
    return level


def values(message: Message, number: int) -> Iterator[int | bytes]:
    """Yield the plain values of a field."""
    for field in message:
        if field.number == number and not isinstance(field.value, list):
            yield field.value


def text(message: Message, number: int) -> str:
    """Return the text in a field; empty where it is not there."""
    return next((str(v, "utf-8") for v in values(message, number) if isinstance(v, bytes)), "")


def number_in(message: Message, number: int) -> int:
    """Return the number in a field; 0 where it is not there."""
    return next((v for v in values(message, number) if isinstance(v, int)), 0)


def put(message: Message, number: int, *contents: int | bytes | Message) -> None:
    """Have a field hold just these values, at its old place."""
    at = next((i for i, field in enumerate(message) if field.number == number), len(message))
    message[:] = [field for field in message if field.number != number]
    message[at:at] = [
        Field(number, VARINT if isinstance(value, int) else BYTES, value) for value in contents
    ]


def copy(message: Message) -> Message:
    """Return a message that shares nothing with this one."""
    return [
        Field(f.number, f.wire, copy(f.value) if isinstance(f.value, list) else f.value)
        for f in message
    ]
