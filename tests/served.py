"""A real server on a free port, with the tiny model in full precision."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

import refact_edge
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.serve.app import create_app
from refact_edge.runtime.serve.process.listening import listening
from refact_edge.runtime.serve.service.service import Service
from refact_edge.runtime.serve.service.settings import Settings
from refact_edge.runtime.serve.web.bodies import Bodies
from refact_edge.runtime.serve.web.server import Server


@dataclass
class Served:
    """A running server: where it is, what serves, and the model for comparing."""

    url: str
    service: Service
    app: Starlette
    server: Server
    model: refact_edge.Model
    http: httpx.Client

    @property
    def bodies(self) -> Bodies:
        bodies: Bodies = self.app.state.bodies
        return bodies

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.http.post(path, json=body)

    def before_steps(self, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the served model do something before each of its steps."""
        model = self.service._model
        assert model is not None
        step = model._paced.step

        def acting(ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
            act()
            return step(ids, cache, keep)

        monkeypatch.setattr(model._paced, "step", acting)


Serve = Callable[..., AbstractContextManager[Served]]


@contextmanager
def serving(bundle: Path, variant: str = "fp32", **chosen: Any) -> Iterator[Served]:
    """Serve a bundle; `chosen` are the server's settings."""
    settings = Settings(**{"name": "tiny", **chosen})
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
        yield Served(url, app.state.service, app, server, model, http)
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the server did not end"


def events(text: str) -> list[str]:
    """Return the data of server-sent events, whose framing is checked."""
    assert text.endswith("\n\n")
    parts = text.removesuffix("\n\n").split("\n\n")
    assert all(part.startswith("data: ") and "\n" not in part for part in parts)
    return [part.removeprefix("data: ") for part in parts]


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


COMMAND = [sys.executable, "-m", "refact_edge.runtime"]


@contextmanager
def ready(
    bundle: Path,
    *options: object,
    ahead: str = "",
    stderr: int | IO[str] = subprocess.DEVNULL,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Serve in a process of its own; yield it, and what its first line says of it.

    `ahead` is what a shell does before it becomes the server.
    """
    command = [*COMMAND, "serve", bundle, "--port", "0", "--ready-json", *options]
    shell = ["sh", "-c", f'{ahead} exec "$@"', "sh", *map(str, command)]
    with subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port on loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether a server answers at a port."""
    try:
        # Certificates take longer to read than an answer to come, and there are none here.
        reply = httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, verify=False)
        return reply.status_code == 200
    except httpx.TransportError:
        return False


def lives(process: int) -> bool:
    """Whether there is a process with that number that has not ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def descriptors(process: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208
