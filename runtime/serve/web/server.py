"""The HTTP server: uvicorn, with bounds on connections, and an end that cuts requests off."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from ..service.settings import Settings
from .connections import ConnectionLimits, limited
from .descriptors import Listener, Refusals, connection_limit
from .errors import KINDS
from .exchange import Dialect


class Server(uvicorn.Server):
    """Serves an application on one socket."""

    def __init__(
        self,
        app: Starlette,
        listener: socket.socket,
        settings: Settings,
        *,
        started: Callable[[], None] = lambda: None,
        grace_s: int = 10,
    ) -> None:
        """Take over a listening socket.

        Args:
            app: as `create_app` returns it.
            listener: bound, and listening.
            settings: bounds on connections are read from these.
            started: called once connections are answered.
            grace_s: within which requests end that were cut off.

        """
        limits = ConnectionLimits(
            Refusals(connection_limit(settings.max_connections)),
            settings.receive_seconds,
            lambda status, message: _error_body(app.state.dialect, status, message),
        )
        self._app, self._started = app, started
        self._listener = Listener(listener, limits.refusals, limits.refusal())
        super().__init__(_config(app, limits, grace_s))

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends it."""
        super().run([*(sockets or ()), self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets)
        if self.started:
            self._started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Cut requests off before uvicorn waits for them to end by themselves."""
        super().handle_exit(sig, frame)
        self._app.state.loop.call_soon_threadsafe(self._app.state.service.end_all)


def _config(app: Starlette, limits: ConnectionLimits, grace_s: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        loop="asyncio",  # whatever else is installed: it accepts by the listener's own method
        http=limited(limits),  # h11, which refuses what is not quite HTTP
        ws="none",
        timeout_keep_alive=75,  # as long as one may think between two keystrokes
        timeout_graceful_shutdown=grace_s,  # a chunk of a prompt is read to its end
    )


def _error_body(dialect: Dialect, status: int, message: str) -> bytes:
    """Return an error before any path is known."""
    return json.dumps(dialect.error(status, KINDS[status], message)).encode()
