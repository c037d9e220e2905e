"""A real server on a free port, with the tiny model in full precision."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

import refact_edge
from refact_edge.runtime.serve.app import create_app
from refact_edge.runtime.serve.listening import listening
from refact_edge.runtime.serve.server import Server
from refact_edge.runtime.serve.service import Service
from refact_edge.runtime.serve.settings import Settings


@dataclass
class Served:
    """A running server: where it is, what serves, and the model for comparing."""

    url: str
    service: Service
    model: refact_edge.Model
    http: httpx.Client

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.http.post(path, json=body)


Serve = Callable[..., AbstractContextManager[Served]]


@contextmanager
def serving(bundle: Path, variant: str = "fp32", **chosen: object) -> Iterator[Served]:
    """Serve a bundle; `chosen` are the server's settings."""
    settings = Settings(**{"name": "tiny", **chosen})  # type: ignore[arg-type]
    app = create_app(lambda: refact_edge.load(bundle, variant=variant, hashes=False), settings)
    with listening(0, None) as (listener, url):
        server = Server(app, listener, settings, grace_s=2)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    with httpx.Client(base_url=url, timeout=60) as http:
        model = refact_edge.load(bundle, variant=variant, hashes=False)
        yield Served(url, app.state.service, model, http)
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the server did not end"


def events(text: str) -> list[str]:
    """Return the data of server-sent events, whose framing is checked."""
    assert text.endswith("\n\n")
    found = text.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") and "\n" not in event for event in found)
    return [event.removeprefix("data: ") for event in found]


def raw(url: str, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):  # it may have heard enough
            connection.sendall(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := connection.recv(65536):
                answer += part
        return answer
