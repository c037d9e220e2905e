"""An editor that writes any bytes to a language server, and has a time limit for each answer."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from served import COMMAND

Message = dict[str, Any]


def framed(content: bytes) -> bytes:
    """Return content as a message."""
    return b"Content-Length: %d\r\n\r\n" % len(content) + content


def message(method: object, number: object = None, **more: object) -> bytes:
    """Return a message in JSON; without a number it is a notification."""
    named = {"method": method} if number is None else {"method": method, "id": number}
    return framed(json.dumps({"jsonrpc": "2.0", **named, **more}).encode())


def reply(number: object, **more: object) -> bytes:
    """Return an answer to what a server asks."""
    return framed(json.dumps({"jsonrpc": "2.0", "id": number, **more}).encode())


def begin(process: int | None = None, **more: object) -> bytes:
    """Return the first message of an editor."""
    params = {"capabilities": {}, "processId": process, "rootUri": None, **more}
    return message("initialize", 0, params=params)


class RawEditor:
    """Reads what a server sends, in a thread."""

    def __init__(self, writes: IO[bytes], reads: IO[bytes]) -> None:
        self._writes, self._reads = writes, reads
        self._found: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, content: bytes) -> None:
        """Write bytes as they are."""
        self._writes.write(content)
        self._writes.flush()

    def next(self, seconds: float = 5) -> Message:
        """Return the next message."""
        try:
            return self._found.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError("nothing came") from None

    def answer(self, seconds: float = 5) -> Message:
        """Return the next answer; what the server says or asks by itself is passed over."""
        while "method" in (found := self.next(seconds)):
            pass
        return found

    def said(self, method: str, seconds: float = 5) -> Message:
        """Return the next message of a method."""
        while (found := self.next(seconds)).get("method") != method:
            pass
        return found

    def ask(self, method: str, number: object = 1, **more: object) -> Message:
        """Send a request and return its answer."""
        self.send(message(method, number, **more))
        return self.answer()

    def _read(self) -> None:
        while line := self._reads.readline():
            length = 0
            while line.strip():
                if line.startswith(b"Content-Length: "):
                    length = int(line.split()[1])
                line = self._reads.readline()
            self._found.put(json.loads(self._reads.read(length)))


@contextmanager
def editing(
    bundle: Path, *, begins: bool = True
) -> Iterator[tuple[RawEditor, subprocess.Popen[bytes]]]:
    """Yield an editor that has begun, and its server, which talks through pipes."""
    pipe = subprocess.PIPE
    command = [*COMMAND, "lsp", str(bundle)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        editor = RawEditor(process.stdin, process.stdout)
        try:
            if begins:
                editor.send(begin())
                editor.answer(20)
                editor.send(message("initialized", params={}))
            yield editor, process
        finally:
            process.kill()
            with suppress(BrokenPipeError):  # of what it left unread
                process.stdin.close()
