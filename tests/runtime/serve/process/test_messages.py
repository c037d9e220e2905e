"""Where a message begins and ends: what is none ends a connection, and over pipes the server."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from raw_editor import RawEditor, begin, editing_apart, framed, message
from served import COMMAND, wait_for

import refact_edge
from refact_edge.runtime.errors import ProtocolError
from refact_edge.runtime.serve.lsp.features import create_server
from refact_edge.runtime.serve.process.messages import LIMIT_BYTES, LINE_BYTES, read_message
from refact_edge.runtime.serve.service.settings import Settings

POST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://example.org\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
)
NO_MESSAGES = [
    (b"Content-Length: 99999999999999\r\n\r\n", "Content-Length 99999999999999; expected a number"),
    (b"Content-Length: %d\r\n\r\n" % (LIMIT_BYTES + 1), f"at most {LIMIT_BYTES}"),
    (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "Content-Length 999"),
    (b"Content-Length: -1\r\n\r\n", "Content-Length -1; expected a number of bytes"),
    (b"Content-Length: many\r\n\r\n", "Content-Length many; expected a number of bytes"),
    (b"Content-Length: \xc2\xb2\r\n\r\n", "expected a number of bytes"),
    (b"Content-Length: \r\n\r\n", "expected a number of bytes"),
    (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "two Content-Length"),
    (b"Content-Type: text/plain\r\n\r\n", "without Content-Length"),
    (b"\x1b[2J\xe2\x80\xae\r\n", "?[2J?: expected messages that begin with Content-Length"),
    (b"Content-Type: x\r\n" * 100, "over 15 headers"),
    (b"Content-Type: " + b"x" * 2 * LINE_BYTES, f"a header of over {LINE_BYTES - 1} bytes"),
    (b"GET / HTTP/1.1\r\n", "an HTTP request: expected messages that begin with Content-Length"),
]


@pytest.mark.parametrize(("content", "message"), NO_MESSAGES, ids=range(len(NO_MESSAGES)))
def test_what_is_no_message_is_told_in_one_line(content: bytes, message: str) -> None:
    async def read() -> bytes | None:
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        return await read_message(reader)

    with pytest.raises(ProtocolError) as caught:
        asyncio.run(read())
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        framed(b"{}"),
        b"content-length:2\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n{}",
        b"Content-Length: 2\n\n{}",
        b"\r\n\r\n" + framed(b"{}") + b"\r\n",
    ],
)
def test_headers_are_read_as_clients_write_them(content: bytes) -> None:
    async def read() -> list[bytes | None]:
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        return [await read_message(reader), await read_message(reader)]

    assert asyncio.run(read()) == [b"{}", None]


@pytest.mark.parametrize("index", [0, 11])
def test_over_pipes_it_ends_the_server_with_one_line(tiny_bundle: Path, index: int) -> None:
    with editing_apart(tiny_bundle) as (editor, process):
        assert process.stderr is not None
        with suppress(BrokenPipeError):  # it may have ended before it has read all
            editor.send(NO_MESSAGES[index][0])
        assert process.wait(10) == 1
        (line,) = process.stderr.read().decode().splitlines()
        assert line.startswith("error: ")


class _Pipe(io.TextIOWrapper):
    """A standard stream of given bytes, or to be written to."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content))


@pytest.mark.parametrize("content", [content for content, _ in NO_MESSAGES])
def test_whatever_is_no_message_ends_what_reads_the_pipe(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", _Pipe(begin() + content))
    monkeypatch.setattr(sys, "stdout", _Pipe())
    server = create_server(lambda: refact_edge.load(tiny_bundle), Settings(slots=1))
    with pytest.raises(ProtocolError):
        server.run_io(begun=lambda: None)


@contextmanager
def _listening(bundle: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server over TCP; yield its process and its port."""
    pipe = subprocess.PIPE
    command = [*COMMAND, "lsp", str(bundle), "--tcp", "0", "--ready-json"]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["port"]
        finally:
            process.kill()


def _heard(port: int, content: bytes) -> bytes:
    """Send bytes to a port; return what comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(content)
            return connection.recv(100)
        except ConnectionError:
            return b""


def _edit(process: subprocess.Popen[str], port: int) -> None:
    """Begin as an editor, and end."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        connection.makefile("wb") as writes,
        connection.makefile("rb") as reads,
    ):
        editor = RawEditor(writes, reads)
        editor.send(begin())
        assert "capabilities" in editor.answer(20)["result"]
        editor.send(message("shutdown", 1))
        assert editor.answer()["result"] is None
        editor.send(message("exit"))
        assert process.wait(10) == 0


def test_a_web_page_is_not_taken_for_the_editor(tiny_bundle: Path) -> None:
    body = begin() + message("shutdown", 1) + message("exit")
    with _listening(tiny_bundle) as (process, port):
        assert _heard(port, POST % len(body) + body) == b""
        assert _heard(port, b"\r\n" + POST % len(body) + body) == b""
        assert process.poll() is None
        _edit(process, port)
        assert process.stderr is not None
        first, second = process.stderr.read().splitlines()
        assert "an HTTP request: expected messages that begin with Content-Length" in first
        assert "an HTTP request: expected messages that begin with Content-Length" in second


def test_who_sends_no_message_is_let_go_and_the_editor_still_waited_for(tiny_bundle: Path) -> None:
    with _listening(tiny_bundle) as (process, port):
        for content, _ in NO_MESSAGES:
            assert _heard(port, content) == b""
        _edit(process, port)
        assert process.stderr is not None
        lines = process.stderr.read().splitlines()
        assert len(lines) == len(NO_MESSAGES)
        for line in lines:
            assert "a connection was closed, and the editor is still waited for" in line


def test_who_connects_and_says_nothing_holds_up_no_editor(tiny_bundle: Path) -> None:
    with _listening(tiny_bundle) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
            _edit(process, port)
            assert silent.recv(1) == b""
        with socket.socket() as other:
            wait_for(lambda: other.connect_ex(("127.0.0.1", port)) != 0)


def test_an_editor_that_goes_on_with_no_message_ends_the_server_in_one_line(
    tiny_bundle: Path,
) -> None:
    with _listening(tiny_bundle) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as editor:
            editor.sendall(begin())
            assert editor.recv(14) == b"Content-Length"
            editor.sendall(b"Content-Length: 99999999999999\r\n\r\n")
            assert process.wait(10) == 1
        assert process.stderr is not None
        (line,) = process.stderr.read().splitlines()
        assert line.startswith("error: Content-Length 99999999999999; expected")
