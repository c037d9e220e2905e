"""Requests that mean harm, or mean nothing: each gets its 4xx, and the server goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from served import Served, raw

PATHS = (
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/fim/completions",
    "/v1/responses",
    "/infill",
    "/completion",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/api/generate",
    "/api/chat",
    "/api/show",
)


@pytest.fixture(autouse=True)
def _goes_on(server: Served) -> Iterator[None]:
    yield
    reply = server.post("/v1/completions", prompt="def", max_tokens=2, temperature=0)
    assert reply.status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"3",
        b'{"prompt": ',
        b'{"prompt": "\xff\xfe"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"prompt": {"a": 1}, "messages": 3, "input_prefix": [], "input_suffix": 1, '
        b'"content": 5, "tokens": "x", "model": []}',
    ],
    ids=["empty", "text", "list", "null", "number", "cut", "bytes", "deep", "deeper", "types"],
)
def test_what_is_no_request_is_refused(server: Served, path: str, body: bytes) -> None:
    reply = server.http.post(path, content=body)
    allowed = body == b"" and path in ("/api/generate", "/api/chat", "/api/show")
    assert reply.status_code == (200 if allowed else 400)
    assert allowed or reply.json()["error"]


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": -5},
        {"max_tokens": "many"},
        {"temperature": -0.5},
        {"temperature": "NaN"},
        {"top_p": 2},
        {"n": 0},
        {"n": 10**6},
        {"stop": [1]},
        {"stop": ["a"] * 1000},
        {"logprobs": -1},
        {"seed": "x"},
        {"prompt": [-1]},
        {"prompt": [[1], "a", 3]},
        {"prompt": ["a"] * 1000},
        {"stream": "perhaps"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(server: Served, more: dict[str, object]) -> None:
    reply = server.post("/v1/completions", **{"prompt": "a", "max_tokens": 1, **more})
    assert reply.status_code == 400, reply.text
    assert len(reply.json()["error"]["message"]) < 500


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1e300"])
def test_what_is_no_temperature_is_refused(server: Served, value: str) -> None:
    body = f'{{"prompt": "a", "max_tokens": 1, "temperature": {value}}}'
    assert server.http.post("/v1/completions", content=body).status_code == 400


def test_a_large_body_is_refused_before_it_is_read(server: Served) -> None:
    start = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
    message = raw(server.url, start + b"Content-Length: 104857600\r\n\r\n")
    assert message.startswith(b"HTTP/1.1 413")
    assert b"larger than 8388608 bytes" in message
    chunk = b"100000\r\n" + b"a" * 2**20 + b"\r\n"
    message = raw(server.url, start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 100)
    assert message.startswith(b"HTTP/1.1 413")


def test_strange_text_goes_through(server: Served) -> None:
    for text in ("\x00", "\ud800", "\u2028\u202e", "e\u0301" * 50, "\U0001f600", "<|endoftext|>"):
        body = json.dumps({"prompt": text, "suffix": text, "max_tokens": 2})
        reply = server.http.post("/v1/completions", content=body)
        assert reply.status_code in (200, 400), (text, reply.text)


BODY = b'{"content": "a"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


@pytest.mark.parametrize(
    "headers",
    [
        LENGTH + b"Content-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        LENGTH + b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length : %d\r\n" % len(BODY),
        LENGTH + b"X: a\r\n b\x00\r\n",
        LENGTH + b"A: " + b"x" * 200_000 + b"\r\n",
    ],
    ids=["two lengths", "negative", "both", "encodings", "blank", "null", "long"],
)
def test_smuggled_headers_reach_nobody(server: Served, headers: bytes) -> None:
    """A request that would be answered but for these headers, and another one behind it."""
    start = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
    second = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    sound = raw(server.url, start + LENGTH + b"\r\n" + BODY + second)
    assert sound.count(b"HTTP/1.1 200") == 2
    reply = raw(server.url, start + headers + b"\r\n" + BODY + second)
    assert b"HTTP/1.1 200" not in reply
    assert reply.count(b"HTTP/1.1 4") == (1 if reply else 0)


def test_unknown_paths_and_methods_are_told(server: Served) -> None:
    assert server.http.get("/nothing").status_code == 404
    assert server.http.get("/v1/completions").status_code == 405
    assert server.http.get("/page/..%2f..%2fcli.py").status_code == 404
    assert server.http.get("/page/%2e%2e/index.html").status_code == 404
    assert server.http.request("TRACE", "/").status_code == 405


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"content": "word " * 400_000}),
        ("/completion", {"prompt": ["word " * 400_000]}),
    ],
    ids=["tokenize", "completion"],
)
def test_others_are_answered_beside_a_large_request(
    server: Served, path: str, body: dict[str, object]
) -> None:
    statuses: list[int] = []
    content = json.dumps(body)

    def send() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            statuses.append(http.post(path, content=content).status_code)

    thread = threading.Thread(target=send)
    thread.start()
    during = 0
    while thread.is_alive():
        assert server.http.get("/health").status_code == 200
        during += not statuses
    thread.join()
    assert statuses[0] in (200, 400)
    assert during > 5


def test_of_a_long_list_the_first_mistake_is_told(server: Served) -> None:
    for path, body in (
        ("/v1/completions", {"prompt": [-1] * 100_000}),
        ("/v1/chat/completions", {"messages": [{}] * 100_000}),
    ):
        reply = server.post(path, **body)
        assert reply.status_code == 400
        assert len(reply.json()["error"]["message"]) < 500
