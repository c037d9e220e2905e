"""Messages through pipes: with headers as of the language server protocol, or a line each."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import BinaryIO

from ...errors import ProtocolError
from ..process.messages import LIMIT_BYTES, Pipe, read_message


class Pipes:
    """Both directions of a conversation; each is used in a thread, as pipes may block."""

    def __init__(
        self, source: BinaryIO, target: BinaryIO, threads: Executor, *, lines: bool
    ) -> None:
        """Read from `source` and write to `target`; `threads` has one for each."""
        self._source, self._target, self._threads = source, target, threads
        self._pipe = Pipe(source, threads)
        self._lines = lines
        self._turn = asyncio.Lock()

    async def read(self) -> bytes | None:
        """Return the next message; None where the other end has left.

        Raises:
            ProtocolError: when it is none, or a larger one than `LIMIT_BYTES`.

        """
        if not self._lines:
            return await self._read_with_headers()
        loop = asyncio.get_running_loop()
        while True:
            line = await loop.run_in_executor(self._threads, self._source.readline, LIMIT_BYTES + 1)
            if len(line) > LIMIT_BYTES:
                raise ProtocolError(f"a line of over {LIMIT_BYTES} bytes; expected shorter ones")
            if not line.endswith(b"\n"):
                return None
            if line.startswith(b"Content-Length:"):
                raise ProtocolError("a header; expected a line of JSON: leave --lines out")
            if line.strip():
                return line

    async def _read_with_headers(self) -> bytes | None:
        try:
            return await read_message(self._pipe)
        except ProtocolError as error:
            if str(error).startswith("{"):
                raise ProtocolError(
                    "a line of JSON; expected Content-Length and an empty line before it: write "
                    "these, or start it with --lines"
                ) from error
            raise

    async def write(self, content: bytes) -> None:
        """Write a message, whole; waits until the other end takes it.

        Raises:
            BrokenPipeError: when the other end has left.

        """
        head = b"" if self._lines else b"Content-Length: %d\r\n\r\n" % len(content)
        framed = head + content + (b"\n" if self._lines else b"")
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._send, framed)

    def _send(self, framed: bytes) -> None:
        self._target.write(framed)
        self._target.flush()
