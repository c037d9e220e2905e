"""A host of a sidecar: it writes messages, and has a time limit for each answer."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

Message = dict[str, Any]
COMMAND = [sys.executable, "-m", "refact_edge.runtime", "sidecar"]
LIMIT_S = 30


class Host:
    """Starts a sidecar, and reads what it sends in a thread."""

    def __init__(self, *arguments: object, lines: bool = False) -> None:
        self.lines, self._number = lines, 0
        self._queue: queue.Queue[Message | None] = queue.Queue()
        self._early: list[Message] = []
        words = [*COMMAND, *map(str, arguments), *(["--lines"] if lines else [])]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(self, content: bytes) -> None:
        """Write a message's content as it is."""
        assert self.process.stdin is not None
        head = b"" if self.lines else b"Content-Length: %d\r\n\r\n" % len(content)
        self.process.stdin.write(head + content + (b"\n" if self.lines else b""))
        self.process.stdin.flush()

    def notify(self, method: str, **params: object) -> None:
        """Send what is not answered."""
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def ask(self, method: str, **params: object) -> int:
        """Send a request, and return its id."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self.send(json.dumps(message).encode())
        return self._number

    def call(self, method: str, **params: object) -> Any:
        """Return the result of a request."""
        return self.result(self.ask(method, **params))

    def result(self, number: object) -> Any:
        """Wait for the answer to a request, and return what it has."""
        answer = self.answer(number)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, number: object) -> Message:
        """Wait for the answer to a request that fails."""
        answer = self.answer(number)
        assert "error" in answer, answer
        error: Message = answer["error"]
        return error

    def answer(self, number: object) -> Message:
        """Wait for the answer to a request; keep what comes before."""
        for message in self._early:
            if "method" not in message and message.get("id") == number:
                self._early.remove(message)
                return message
        while True:
            message = self.next()
            if "method" not in message and message.get("id") == number:
                return message
            self._early.append(message)

    def next(self) -> Message:
        """Wait for any message."""
        message = self._queue.get(timeout=LIMIT_S)
        assert message is not None, "the sidecar has ended"
        return message

    def pieces(self, number: object) -> list[str]:
        """Return the pieces of a request that have come so far."""
        return [
            message["params"]["text"]
            for message in self._early
            if message.get("method") == "piece" and message["params"]["id"] == number
        ]

    def close(self) -> None:
        """Leave, and wait until the sidecar has ended."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(10)
        finally:
            process.kill()
            self._thread.join(10)
            process.stdout.close()
            process.stderr.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while (content := self._next_content(self.process.stdout)) is not None:
            self._queue.put(json.loads(content))
        self._queue.put(None)

    def _next_content(self, stream: IO[bytes]) -> bytes | None:
        line = stream.readline()
        if not line or self.lines:
            return line or None
        size = int(line.removeprefix(b"Content-Length: "))
        assert stream.readline() == b"\r\n"
        return stream.read(size)


@contextmanager
def hosting(*arguments: object, lines: bool = False) -> Iterator[Host]:
    """Yield a host whose sidecar is ready; end it at the end."""
    host = Host(*arguments, lines=lines)
    try:
        ready = host.next()
        assert ready["method"] == "ready", ready
        yield host
    finally:
        host.close()
