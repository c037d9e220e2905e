"""Plain values as JSON lines: all that crosses between a program and its checker.

Only values of builtin types cross, and the reader builds each one anew, so none brings behaviour
along. JSON tells None, bool, int, float (inf and nan too), str and list apart by itself; the other
types are an object with one tag. An instance of a subclass (a Counter, an IntEnum) arrives as its
builtin type.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO

LONGEST_LINE = 16_000_000  # bytes; a reader takes no more than that for one message
WIDEST_INT = 1 << 53  # wider ones cross as hexadecimal, which Python reads in linear time


class NotPlainError(TypeError):
    """A value of another type was to cross, or a message holds none."""


def _ordered(values: Any) -> list[Any]:
    return [encode(value) for value in values]


# The first type that fits, the tag, and what stands behind it. bool must come before int.
_UNTAGGED: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (bool, bool),
    (float, float.__float__),
    (str, str.__str__),
)
_TAGGED: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (tuple, "tuple", lambda value: _ordered(tuple.__iter__(value))),
    (set, "set", lambda value: _ordered(set.__iter__(value))),
    (frozenset, "frozenset", lambda value: _ordered(frozenset.__iter__(value))),
    (dict, "dict", lambda value: [[encode(k), encode(v)] for k, v in dict.items(value)]),
    (bytes, "bytes", lambda value: bytes.hex(value)),
    (complex, "complex", lambda value: [float(value.real), float(value.imag)]),
)
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "tuple": lambda items: tuple(map(decode, items)),
    "set": lambda items: set(map(decode, items)),
    "frozenset": lambda items: frozenset(map(decode, items)),
    "dict": lambda pairs: {decode(k): decode(v) for k, v in pairs},
    "bytes": bytes.fromhex,
    "complex": lambda parts: complex(*parts),
}


def encode(value: Any) -> Any:
    """Return `value` as what `json` can write.

    Raises:
        NotPlainError: when it is of no plain type.

    """
    if value is None:
        return None
    for kind, plain in _UNTAGGED:
        if isinstance(value, kind):
            return plain(value)
    if isinstance(value, int):
        number = int.__int__(value)
        return number if abs(number) < WIDEST_INT else {"int": hex(number)}
    if isinstance(value, list):
        return _ordered(list.__iter__(value))
    for kind, tag, plain in _TAGGED:
        if isinstance(value, kind):
            return {tag: plain(value)}
    raise NotPlainError(f"a value of type {type(value).__name__} is not plain")


def decode(value: Any) -> Any:
    """Return the plain value that `encode` made this of.

    Raises:
        NotPlainError: when the message is not one of `encode`'s.

    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        ((tag, content),) = value.items()
        return _READERS[tag](content)
    except (ValueError, KeyError, TypeError) as error:
        raise NotPlainError(f"an unreadable value: {error!r:.80}") from error


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write one message as a line."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any]:
    """Read one message.

    Raises:
        EOFError: when there is none any more.
        NotPlainError: when the line is too long or is not a JSON object.

    """
    line = stream.readline(LONGEST_LINE)
    if not line:
        raise EOFError
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotPlainError(f"an unreadable message: {error!r:.80}") from error
    if not isinstance(message, dict):
        raise NotPlainError(f"a message that is no object: {message!r:.40}")
    return message
