"""What browsers are told ahead of a web page's request, and what of an answer its page may read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import Serve, Served, serving

PAGE, OTHER = "http://localhost:5174", "https://evil.example"
# What the openai package for JavaScript sends, as a browser asks for it.
HEADERS = (
    "authorization,content-type,x-stainless-arch,x-stainless-helper-method,x-stainless-lang,"
    "x-stainless-os,x-stainless-package-version,x-stainless-poll-helper,x-stainless-retry-count,"
    "x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
)


@pytest.fixture(scope="module")
def named(tiny_bundle: Path) -> Iterator[Served]:
    with serving(tiny_bundle, origins=frozenset({PAGE, "vscode-webview://*", "null"})) as served:
        yield served


def _preflight(
    served: Served, path: str = "/v1/chat/completions", origin: str = PAGE, **query: str
) -> httpx.Response:
    """Ask as a browser does ahead of a POST; `asked` are more headers, in words with `_`."""
    headers = {"origin": origin, "access-control-request-method": "POST"}
    headers |= {f"access-control-request-{name.replace('_', '-')}": query[name] for name in query}
    return served.http.options(path, headers=headers)


@pytest.mark.parametrize("origin", [PAGE, "vscode-webview://0c3dk2", "null"])
@pytest.mark.parametrize(
    "query", [HEADERS, "content-type,openai-beta", "dangerously-allow-browser", "x-client-id"]
)
def test_a_named_page_may_send_any_header(named: Served, origin: str, query: str) -> None:
    reply = _preflight(named, origin=origin, headers=query)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == origin
    assert reply.headers["access-control-allow-headers"] == query
    assert reply.headers["access-control-allow-methods"] == "DELETE, GET, HEAD, POST"
    assert int(reply.headers["access-control-max-age"]) > 0
    assert "origin" in reply.headers["vary"].lower().split(", ")
    assert "access-control-allow-credentials" not in reply.headers
    assert "access-control-allow-private-network" not in reply.headers


@pytest.mark.parametrize("network", ["private_network", "local_network"])
def test_a_named_page_may_reach_this_machine(named: Served, network: str) -> None:
    allow = f"access-control-allow-{network.replace('_', '-')}"
    reply = _preflight(named, headers=HEADERS, **{network: "true"})
    assert (reply.status_code, reply.headers[allow]) == (200, "true")
    other = _preflight(named, origin=OTHER, headers=HEADERS, **{network: "true"})
    assert other.status_code == 403
    assert allow not in other.headers


def test_a_method_that_nothing_answers_is_not_allowed(named: Served) -> None:
    reply = _preflight(named, method="PUT", private_network="true")
    assert reply.status_code == 400
    assert "access-control-allow-private-network" not in reply.headers


def test_what_another_page_asks_is_refused_in_one_line(named: Served) -> None:
    for origin in (OTHER, f"{PAGE}.evil.example", "file://", "http://localhost"):
        reply = _preflight(named, origin=origin, headers="content-type")
        assert reply.status_code == 403
        assert (
            reply.json()["error"]["message"] == f"Origin {origin!r}; allow it with --allow-origin"
        )
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert reply.headers["vary"] == "Origin"


def test_another_page_may_neither_send_nor_read(named: Served) -> None:
    body = {"prompt": "a", "max_tokens": 1}
    runs = named.http.get("/metrics").text.count('path="/v1/completions"')
    for headers in ({"origin": OTHER}, {"origin": OTHER, "content-type": "text/plain"}):
        reply = named.http.post("/v1/completions", json=body, headers=headers)
        assert reply.status_code == 403
        assert "access-control-allow-origin" not in reply.headers
    assert named.http.get("/metrics").text.count('path="/v1/completions"') == runs
    rebound = {"origin": PAGE, "host": "evil.example"}
    assert named.http.post("/v1/completions", json=body, headers=rebound).status_code == 403


def test_a_named_page_reads_answers_streams_and_errors(
    named: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status_of(method: str, path: str, body: object = None) -> int:
        with named.http.stream(method, path, json=body, headers={"origin": PAGE}) as reply:
            reply.read()
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert reply.headers["access-control-expose-headers"] == "Retry-After, WWW-Authenticate"
        assert "Origin" in reply.headers["vary"]
        return reply.status_code

    body = {"prompt": "a", "max_tokens": 2}
    assert status_of("GET", "/v1/models") == 200
    assert status_of("POST", "/v1/completions", body) == 200
    assert status_of("POST", "/v1/completions", body | {"stream": True}) == 200
    assert status_of("POST", "/api/generate", body | {"stream": True}) == 200
    assert status_of("POST", "/v1/completions", {"prompt": 5, "max_tokens": "x"}) == 400
    assert status_of("GET", "/nowhere") == 404
    assert status_of("DELETE", "/v1/models") == 405
    assert status_of("POST", "/v1/embeddings", {"input": "a"}) in (404, 501)
    monkeypatch.setattr(named.service, "run", lambda *_: 1 / 0)
    assert status_of("POST", "/v1/completions", body) == 500


def test_a_named_page_reads_that_a_key_is_missing_or_all_is_busy(serve: Serve) -> None:
    with serve(origins=frozenset({PAGE}), api_key="sesame") as served:
        # The preflight itself brings no key.
        assert _preflight(served, headers=HEADERS).status_code == 200
        reply = served.http.post("/v1/completions", json={}, headers={"origin": PAGE})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (401, PAGE)
        served.bodies.used_bytes = 2**40  # as if others' lay there
        key = {"authorization": "Bearer sesame", "origin": PAGE}
        reply = served.http.post("/v1/completions", json={"prompt": "a" * 10**6}, headers=key)
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (503, PAGE)
