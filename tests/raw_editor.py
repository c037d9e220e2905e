"""An editor that writes any bytes to a language server, and has a time limit for each answer."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from language_server import language_server
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
    """Return an answer to a server's request."""
    return framed(json.dumps({"jsonrpc": "2.0", "id": number, **more}).encode())


def begin(process: int | None = None, **more: object) -> bytes:
    """Return the first message of an editor."""
    params = {"capabilities": {}, "processId": process, "rootUri": None, **more}
    return message("initialize", 0, params=params)


class RawEditor:
    """Reads what a server sends, in a thread."""

    def __init__(self, sink: IO[bytes], source: IO[bytes]) -> None:
        self._sink, self._source = sink, source
        self._messages: queue.Queue[Message] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Send the first messages."""
        self.send(begin())
        self.answer(20)
        self.send(message("initialized", params={}))

    def wait(self) -> None:
        """Wait until the server has closed its side."""
        self._thread.join(10)

    def send(self, content: bytes) -> None:
        """Write bytes as they are."""
        self._sink.write(content)
        self._sink.flush()

    def next(self, seconds: float = 5) -> Message:
        """Return the next message."""
        try:
            return self._messages.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError("nothing came") from None

    def answer(self, seconds: float = 5) -> Message:
        """Return the next answer; the server's own notifications and requests are passed over."""
        while "method" in (content := self.next(seconds)):
            pass
        return content

    def said(self, method: str, seconds: float = 5) -> Message:
        """Return the next message of a method."""
        while (content := self.next(seconds)).get("method") != method:
            pass
        return content

    def ask(self, method: str, number: object = 1, **more: object) -> Message:
        """Send a request and return its answer."""
        self.send(message(method, number, **more))
        return self.answer()

    def _read(self) -> None:
        while line := self._source.readline():
            length = 0
            while line.strip():
                if line.startswith(b"Content-Length: "):
                    length = int(line.split()[1])
                line = self._source.readline()
            self._messages.put(json.loads(self._source.read(length)))


@contextmanager
def editing(bundle: Path, *, begins: bool = True) -> Iterator[RawEditor]:
    """Yield an editor that has begun, and talks to a server in this process."""
    with (
        language_server(bundle) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        connection.makefile("wb") as sink,
        connection.makefile("rb") as source,
    ):
        editor = RawEditor(sink, source)
        try:
            if begins:
                editor.begin()
            yield editor
        finally:
            connection.shutdown(socket.SHUT_RDWR)
            editor.wait()


@contextmanager
def editing_apart(bundle: Path) -> Iterator[tuple[RawEditor, subprocess.Popen[bytes]]]:
    """Yield an editor that has begun, and its server's process, which talks through pipes."""
    pipe = subprocess.PIPE
    command = [*COMMAND, "lsp", str(bundle)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        editor = RawEditor(process.stdin, process.stdout)
        try:
            editor.begin()
            yield editor, process
        finally:
            process.kill()
            with suppress(BrokenPipeError):  # of what it left unread
                process.stdin.close()
