"""Connections that say nothing, say it slowly, or are too many keep nobody else from an answer."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from served import Serve, Served, descriptors, raw, ready, wait_for

from refact_edge.runtime.serve.web.bodies import AT_ONCE, SMALL_BYTES
from refact_edge.runtime.serve.web.descriptors import Listener, Refusals, connection_limit

BODY = json.dumps({"prompt": "a", "max_tokens": 1}).encode()
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


@contextmanager
def _connection(served: Served) -> Iterator[socket.socket]:
    place = urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        yield connection


def _all(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_one_connection_too_many_is_answered_503_and_closed(serve: Serve) -> None:
    with serve(max_connections=2) as served, ExitStack() as stack:
        assert served.http.get("/health").status_code == 200  # and stays open
        stack.enter_context(_connection(served))
        with _connection(served) as third:
            answer = _all(third)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert "2 connections" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
        assert served.http.get("/health").status_code == 200


def test_a_connection_that_closes_makes_room(serve: Serve) -> None:
    with serve(max_connections=2) as served:
        for _ in range(30):
            assert raw(served.url, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
            assert httpx.get(f"{served.url}/health").status_code == 200


def test_many_idle_connections_leave_descriptors_for_others(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("descriptors are counted in /proc, which this system lacks")
    log = tmp_path / "log"
    limit = ["--receive-seconds", 1]
    with (
        log.open("w") as file,
        ready(tiny_bundle, *limit, ahead="ulimit -n 64;", stderr=file) as (process, first),
        ExitStack() as stack,
    ):
        place = (first["host"], first["port"])
        for _ in range(120):
            stack.enter_context(socket.create_connection(place, timeout=20))
        url = f"http://127.0.0.1:{first['port']}/health"
        assert httpx.get(url).status_code == 503
        assert descriptors(process.pid) < 64
        wait_for(lambda: httpx.get(url).status_code == 200)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line != "ended"]
    assert [line["event"] for line in lines] == ["too many connections"]
    assert "ulimit" in lines[0]["help"]


def test_the_limit_comes_from_what_may_be_open() -> None:
    resource = pytest.importorskip("resource", reason="this system bounds no descriptors")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        assert 0 < connection_limit(10_000) < 512 - 32
        assert connection_limit(5) == 5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there the event loop accepts by other means")
def test_out_of_descriptors_a_connection_is_refused_and_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept, tries = socket.socket.accept, []

    def exhausted(listener: socket.socket) -> object:
        tries.append(1)
        if len(tries) == 1:
            raise OSError(errno.EMFILE, "too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    plain = socket.create_server(("127.0.0.1", 0))
    refusals = Refusals(5)
    with Listener(plain, refusals, b"busy") as listener:
        with socket.create_connection(listener.getsockname(), timeout=20) as client:
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert client.recv(100) == b"busy"
        with socket.create_connection(listener.getsockname(), timeout=20):
            connection, _ = listener.accept()
            connection.close()
    assert (refusals.count, len(tries)) == (1, 3)


def test_a_head_that_does_not_end_is_answered_408(serve: Serve) -> None:
    with serve(receive_seconds=0.3) as served:
        with _connection(served) as half:
            half.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
            assert _all(half).startswith(b"HTTP/1.1 408 ")
        with _connection(served) as second:  # of one connection
            second.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
            answer = second.recv(65536)
            second.sendall(b"lth")
            answer += _all(second)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"HTTP/1.1 408 " in answer


def test_a_connection_that_says_nothing_is_closed_without_an_answer(serve: Serve) -> None:
    """Browsers open some ahead, and would take an answer for that of their next request."""
    with serve(receive_seconds=0.3) as served, _connection(served) as silent:
        assert _all(silent) == b""


def test_a_body_that_comes_no_more_is_answered_408_in_its_dialect(serve: Serve) -> None:
    with serve(receive_seconds=0.3) as served:
        for path, message in (("/v1/completions", "message"), ("/api/generate", None)):
            with _connection(served) as stalled:
                stalled.sendall((HEAD % 5000).replace(b"/v1/completions", path.encode()) + b"{")
                answer = _all(stalled)
            assert answer.startswith(b"HTTP/1.1 408 ")
            error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert "of the request's body came in 0.3 s" in (error[message] if message else error)


def test_a_slow_client_that_goes_on_is_answered(serve: Serve) -> None:
    body = BODY + b" " * 1024 * 20
    with serve(receive_seconds=1) as served, _connection(served) as slow:
        slow.sendall(HEAD % len(body))
        for start in range(0, len(body), 1024):
            time.sleep(0.1)
            slow.sendall(body[start : start + 1024])
        assert slow.recv(20).startswith(b"HTTP/1.1 200 ")


def test_what_is_left_of_a_body_that_nobody_reads_has_its_time_too(serve: Serve) -> None:
    with serve(receive_seconds=0.3) as served, _connection(served) as left:
        left.sendall((HEAD % 5000).replace(b"/v1/completions", b"/nothing"))
        answer = left.recv(65536)
        left.sendall(b"more")
        answer += _all(left)
        assert answer.startswith(b"HTTP/1.1 404 ")


def test_an_answer_may_take_longer_than_what_is_received(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(receive_seconds=0.2) as served:
        served.before_steps(lambda: time.sleep(0.3), monkeypatch)
        for stream in (False, True):
            body = {"prompt": "a", "max_tokens": 3, "temperature": 0, "stream": stream}
            reply = served.post("/v1/completions", **body)
            assert reply.status_code == 200
            assert not stream or reply.text.endswith("data: [DONE]\n\n")


def test_a_client_that_takes_nothing_of_its_answer_is_let_go(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refact_edge.runtime.serve.web.connections.UNREAD_S", 0.3)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve() as served, _connection(served) as client:
        client.sendall(request * 500)  # whose answers are more than the kernel holds
        connections = served.server.server_state.connections
        wait_for(lambda: len(connections) == 1)
        wait_for(lambda: len(connections) == 0)
        assert served.http.get("/health").status_code == 200


def test_large_bodies_that_come_at_once_are_bounded_and_small_ones_are_not_refused(
    serve: Serve,
) -> None:
    size = 2**20
    with serve(max_body_bytes=size) as served, ExitStack() as stack:
        for _ in range(AT_ONCE):
            held = stack.enter_context(_connection(served))
            held.sendall(HEAD % size + b" " * (size - 1))
        bodies = served.bodies
        wait_for(lambda: bodies.used_bytes >= AT_ONCE * (size - 1 - SMALL_BYTES))
        bytes_free = AT_ONCE * size - bodies.used_bytes
        reply = served.http.post(
            "/v1/completions", content=BODY + b" " * (bytes_free + SMALL_BYTES)
        )
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "large requests" in reply.json()["error"]["message"]
        assert served.http.post("/v1/completions", content=BODY).status_code == 200
        stack.close()
        wait_for(lambda: bodies.used_bytes == 0)
        assert served.http.post("/v1/completions", content=BODY + b" " * 2**19).status_code == 200


def test_memory_for_bodies_is_given_back_whatever_became_of_the_request(serve: Serve) -> None:
    large = BODY + b" " * 2 * SMALL_BYTES
    with serve() as served:

        def send(content: bytes) -> None:
            served.http.post("/v1/completions", content=content)

        contents = (large, b"nonsense" + large, large.replace(b'"a"', b"3"))
        threads = [threading.Thread(target=send, args=(content,)) for content in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: served.bodies.used_bytes == 0)  # an answer comes a moment before
        assert served.bodies.used_bytes == 0
