"""A connection: how long the client may take over its part, and the refusal of one too many.

uvicorn has a time limit for connections that wait for their next request, and no other. A request's
head must come within a time, and so must the rest of a body that nobody reads; bodies.py looks
after those that are read. A client that reads none of its answer is let go after a while. While an
answer is computed there is no limit here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .descriptors import Refusals

_PARTING_S = 1.0
UNREAD_S = 300.0  # in which the client reads no byte of an answer

ErrorBody = Callable[[int, str], bytes]  # of a status and a message, in JSON
_REASONS = {408: "Request Timeout", 503: "Service Unavailable"}


@dataclass(frozen=True)
class ConnectionLimits:
    """What holds for every connection of a server.

    Args:
        refusals: counts those that are beyond its limit.
        receive_s: within which a request's head must come.
        error_body: puts what is wrong, before any dialect is known.

    """

    refusals: Refusals
    receive_s: float
    error_body: ErrorBody

    def answer(self, status: int, message: str, header: str = "") -> bytes:
        """Return a whole answer with an error, after which the connection is closed."""
        body = self.error_body(status, message)
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n{header}Connection: close\r\n\r\n"
        return head.encode() + body

    def refusal(self) -> bytes:
        """Return what a connection is sent that is one too many."""
        message = f"{self.refusals.limit} connections are open, as many as are allowed; "
        return self.answer(503, message + "try again in a moment", "Retry-After: 1\r\n")


class Parting(asyncio.Protocol):
    """Sends a refusal, and closes when the client has had a moment to read it.

    Bytes that are left unread would reset the connection, and the refusal could be lost.
    """

    def __init__(self, refusal: bytes) -> None:
        """Send `refusal`, whatever comes."""
        self._refusal = refusal
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send it."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._refusal)
        if transport.can_write_eof():
            transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(_PARTING_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._timer is not None:
            self._timer.cancel()


class Connection(H11Protocol):
    """A connection over HTTP/1.1, with time limits for what the client has to do."""

    limits: ConnectionLimits
    _receiving = ""  # what there is a time limit for
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or turn it away."""
        if len(self.connections) >= self.limits.refusals.limit:
            self.limits.refusals.add()
            parting = Parting(self.limits.refusal())
            transport.set_protocol(parting)
            parting.connection_made(transport)
            return
        super().connection_made(transport)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        super().data_received(data)
        self._set_timer()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        self._set_timer()

    def _set_timer(self) -> None:
        """Start a time limit for what the client is to send now, unless it runs already."""
        receiving = self._to_receive()
        if receiving == self._receiving:
            return
        self._receiving = receiving
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if receiving:
            self._timer = self.loop.call_later(self.limits.receive_s, self._give_up)

    def _to_receive(self) -> str:
        if self.transport.is_closing():
            return ""
        if self.conn.their_state is h11.IDLE:
            # Between two requests uvicorn has a time limit of its own.
            return "" if self.timeout_keep_alive_task is not None else "head"
        answered = self.cycle is not None and self.cycle.response_complete
        return "rest" if answered and self.conn.their_state is h11.SEND_BODY else ""

    def _give_up(self) -> None:
        if self._receiving == "head" and self.conn.trailing_data[0]:
            message = f"the request's head did not come within {self.limits.receive_s:g} s"
            self.transport.write(self.limits.answer(408, message))
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._await_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on, as it has read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def _await_reader(self, left: int) -> None:
        """Let the client go unless it takes some of the `left` bytes; nothing is added to them."""

        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now < left:
                self._await_reader(now)
            else:
                self.transport.abort()

        self._unread = self.loop.call_later(UNREAD_S, look)


def limited(limits: ConnectionLimits) -> type[Connection]:
    """Return the class of connections with these limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
