"""Messages as they come from an editor or a host: some header lines, then so many bytes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from concurrent.futures import Executor
from typing import BinaryIO, Protocol

from ...errors import ProtocolError, one_line

LIMIT_BYTES = 128 * 2**20  # a large document, with every sign of it escaped
LINE_BYTES, _LINES = 2**16, 16  # of headers; asyncio's own limit of a line, and far more than two
_HEADER = re.compile(rb"([\w!#$%&'*+.^`|~-]+):[ \t]*([^\r\n]*?)[ \t]*\r?\n", re.ASCII)
_HTTP = re.compile(rb"[A-Z]+ [^ ]+ HTTP/\d")
_DIGITS = len(str(LIMIT_BYTES))


class Reader(Protocol):
    """Where bytes come from; both return fewer than asked for, or raise EOFError, at the end."""

    def readline(self) -> Awaitable[bytes]:
        """Return a line with its end; of one that is too long its start, or raise ValueError."""
        ...

    def readexactly(self, n: int, /) -> Awaitable[bytes]:
        """Return so many bytes."""
        ...


class Pipe:
    """Standard input, read in a thread."""

    def __init__(self, stream: BinaryIO, threads: Executor) -> None:
        """Read nothing yet."""
        self._stream, self._threads = stream, threads

    def readline(self) -> Awaitable[bytes]:
        """Return a line with its end, or the start of one that is too long."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, self._stream.readline, LINE_BYTES)

    def readexactly(self, n: int, /) -> Awaitable[bytes]:
        """Return so many bytes, or fewer at the end."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._stream.read, n)


async def read_message(reader: Reader) -> bytes | None:
    """Return the content of the next message; None where the other end has left.

    Raises:
        ProtocolError: when it is no message, or a larger one than `LIMIT_BYTES`.

    """
    length = await _length(reader)
    if length is None:
        return None
    try:
        content = await reader.readexactly(length)
    except EOFError:
        return None
    return content if len(content) == length else None


async def _length(reader: Reader) -> int | None:
    """Read the headers; return how long the content is."""
    length, begun = None, False
    for _ in range(_LINES):
        line = await _line(reader)
        if line is None:
            return None
        if not line.strip():
            if length is not None:
                return length
            if begun:
                raise ProtocolError("a message without Content-Length; expected how long it is")
            continue  # some clients end a message with a line end that they do not count
        name, value = _header(line)
        begun = True
        if name == b"content-length":
            if length is not None:
                raise ProtocolError("a message with two Content-Length; expected one")
            length = _number(value)
    raise ProtocolError(f"a message with over {_LINES - 1} headers; expected Content-Length alone")


async def _line(reader: Reader) -> bytes | None:
    try:
        line = await reader.readline()
    except ValueError:  # so asyncio tells of a long one
        line = b" " * LINE_BYTES
    if line.endswith(b"\n"):
        return line
    if len(line) >= LINE_BYTES:
        raise ProtocolError(f"a header of over {LINE_BYTES - 1} bytes; expected Content-Length")
    return None


def _header(line: bytes) -> tuple[bytes, bytes]:
    header = _HEADER.fullmatch(line)
    if header is None:
        what = "an HTTP request" if _HTTP.match(line) else one_line(line.decode(errors="replace"))
        raise ProtocolError(f"{what[:80]}: expected messages that begin with Content-Length")
    return header[1].lower(), header[2]


def _number(value: bytes) -> int:
    digits = value.isdigit() and len(value) <= _DIGITS
    if not digits or int(value) > LIMIT_BYTES:
        text = one_line(value.decode(errors="replace"), 40)
        raise ProtocolError(
            f"Content-Length {text}; expected a number of bytes, at most {LIMIT_BYTES}"
        )
    return int(value)
