"""Who may call: names, origins, keys; and that the key is never told."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from served import Serve, Served, raw

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.serve.service.settings import Settings


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "LOCALHOST:9999", "[::1]:8012"])
def test_local_names_are_answered(server: Served, host: str) -> None:
    assert server.http.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "0.0.0.0:8012", ""]
)
def test_foreign_names_are_not(server: Served, host: str) -> None:
    reply = server.http.get("/v1/models", headers={"host": host})
    assert reply.status_code == 403
    assert "--allow-host" in reply.json()["error"]["message"]


def test_a_request_has_one_host(server: Served) -> None:
    two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert raw(server.url, two).startswith(b"HTTP/1.1 400")
    none = b"GET /health HTTP/1.0\r\n\r\n"
    assert raw(server.url, none).split(b" ")[1] == b"400"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "vscode-webview://x"]
)
def test_web_pages_from_elsewhere_are_not_answered(server: Served, origin: str) -> None:
    for path in ("/v1/models", "/api/tags"):
        reply = server.http.get(path, headers={"origin": origin})
        assert reply.status_code == 403
        assert "access-control-allow-origin" not in reply.headers


def test_its_own_page_is_answered(server: Served) -> None:
    assert server.http.get("/v1/models", headers={"origin": server.url}).status_code == 200


def test_named_hosts_and_origins_are_answered(serve: Serve) -> None:
    origin = "vscode-webview://editor"
    with serve(hosts=frozenset({"box.lan"}), origins=frozenset({origin})) as served:
        headers = {"host": "box.lan:8012", "origin": origin}
        reply = served.http.get("/v1/models", headers=headers)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == origin
        request = {"origin": origin, "access-control-request-method": "POST"}
        preflight = served.http.options("/v1/completions", headers=request)
        assert preflight.headers["access-control-allow-origin"] == origin
        foreign = served.http.get("/v1/models", headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403


def test_a_key_is_asked_for_in_each_dialects_form(serve: Serve) -> None:
    with serve(api_key="sesame") as served:
        for path, field in (("/v1/completions", "error"), ("/api/generate", "error")):
            for value in ({}, {"authorization": "Bearer wrong"}, {"authorization": "sesame"}):
                reply = served.http.post(path, json={"prompt": "a"}, headers=value)
                assert reply.status_code == 401
                assert reply.headers["www-authenticate"] == "Bearer"
                assert field in reply.json()
                assert "sesame" not in reply.text
        right = {"authorization": "Bearer sesame"}
        body = {"prompt": "a", "max_tokens": 1}
        assert served.http.post("/v1/completions", json=body, headers=right).status_code == 200
        assert served.http.get("/metrics").status_code == 401
        assert served.http.get("/", headers={"accept": "text/html"}).status_code == 200


def test_nothing_listens_on_other_addresses(server: Served) -> None:
    port = urlsplit(server.url).port
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port)}
    for address in addresses - {"127.0.0.1", "::1"}:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{address}:{port}/health", timeout=2)


@pytest.mark.parametrize(
    "chosen",
    [
        {"origins": frozenset({"*"})},
        {"origins": frozenset({"https://*"})},
        {"hosts": frozenset({"box:8012"})},
        {"hosts": frozenset({"*"})},
    ],
    ids=str,
)
def test_no_wildcard_is_taken(chosen: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="expected"):
        Settings(**chosen)
