"""Protobuf's wire format, read strictly.

Two readers of one message must see the same, or what one has checked is not what the other runs.
Protobuf leaves a reader much room: the last of two values counts, another wire type is passed over,
a long number is cut. No writer needs it, so it is refused here: fields that a table does not list,
other wire types, a single value that is given twice, numbers that do not fit their type.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VARINT, _FIXED32, _BYTES = 0, 5, 2
_WIRE_TYPES = {"int32": _VARINT, "int64": _VARINT, "float": _FIXED32}  # all else is bytes
_LARGEST = {"int32": 2**31, "int64": 2**63}

Record = dict[str, Any]  # a message's values by name: a list where a field is repeated


@dataclass(frozen=True)
class Field:
    """A field of a message: its type is int32, int64, float, string, bytes or another message."""

    name: str
    type: str
    repeated: bool = False


@dataclass(frozen=True)
class Refused:
    """A field that no file may have, and what it would be."""

    what: str


Messages = Mapping[str, Mapping[int, Field | Refused]]  # fields by number, of messages by name


def parse(
    buffer: bytes, message: str, messages: Messages, start: int = 0, end: int | None = None
) -> Record:
    """Return the values by name of the message that lies from `start` to `end`.

    A field that is absent is not there.

    Raises:
        ValueError: when it is written in a way that this reader refuses.
        IndexError: when it is cut short within a number.

    """
    fields, record, at = messages[message], Record(), start
    end = len(buffer) if end is None else end
    while at < end:
        tag = buffer[at]  # of one byte, mostly
        at += 1
        if tag >= 0x80:
            tag, at = _varint(buffer, at - 1)
        field = fields.get(tag >> 3)
        if not isinstance(field, Field):
            raise ValueError(
                f"holds {field.what}" if field else f"{message} has a field {tag >> 3}"
            )
        if tag & 7 != _WIRE_TYPES.get(field.type, _BYTES):
            raise ValueError(f"{message}.{field.name} has wire type {tag & 7}")
        value, at = _value(buffer, at, end, field.type, messages)
        if field.repeated:
            record.setdefault(field.name, []).append(value)
        elif field.name in record:
            raise ValueError(f"{message}.{field.name} is given twice")
        else:
            record[field.name] = value
    if at > end:
        raise ValueError("cut short")
    return record


def _value(buffer: bytes, at: int, end: int, kind: str, messages: Messages) -> tuple[Any, int]:
    """Return the value of a field at `at`, and where the next field begins."""
    if kind in _LARGEST:
        number, at = _varint(buffer, at)
        number -= 2**64 if number >= 2**63 else 0
        if not -_LARGEST[kind] <= number < _LARGEST[kind]:
            raise ValueError(f"{number} is no {kind}")
        return number, at
    size, at = (4, at) if kind == "float" else _varint(buffer, at)
    after = at + size
    if after > end:
        raise ValueError("cut short")
    if kind == "string":
        return str(buffer[at:after], "utf-8"), after
    if kind in messages:
        return parse(buffer, kind, messages, at, after), after
    content = buffer[at:after]
    return (struct.unpack("<f", content)[0] if kind == "float" else content), after


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = buffer[at]
    at += 1
    if value < 0x80:
        return value, at
    value, shift = value & 0x7F, 7
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if shift > 63:
            raise ValueError("number too long")
    # Other readers cut a longer number down to 64 bits, and would see another one.
    if value >= 2**64:
        raise ValueError("number too large")
    return value, at
