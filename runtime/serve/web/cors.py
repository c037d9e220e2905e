"""Which requests of a page a browser may send, and what of an answer the page may read.

Pages whose origin was named may send any header and read any answer, errors too. What all others
ask goes on to the guard, which refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EXPOSED = ("Retry-After", "WWW-Authenticate")  # besides those that a page may always read
_REQUEST, _ALLOW = "access-control-request-", "access-control-allow-"
# Chromium asks whether pages from elsewhere may reach this machine; a draft had the second name.
# Local Network Access as it came to be asks the user, and sends no header.
_NETWORKS = ("private-network", "local-network")
_VARY = ", ".join(("Origin", *(_REQUEST + name for name in ("method", "headers", *_NETWORKS))))


class Cors(CORSMiddleware):
    """Starlette's, for patterns of origins, any header, and this machine's own network."""

    def __init__(self, app: ASGIApp, named: re.Pattern[str], methods: Iterable[str]) -> None:
        """Let pages whose origin is `named` ask by these `methods`."""
        super().__init__(
            app,
            allow_origin_regex=named.pattern,
            allow_methods=sorted(methods),
            allow_headers=["*"],  # answered by name: a literal "*" would not cover a key
            expose_headers=_EXPOSED,
        )
        self._named = named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a named page's browser; leave all others to the guard."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self._named.fullmatch(Headers(scope=scope).get("origin", "")):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, _varying(send))

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return which of the method and headers that a browser asks for are allowed."""
        networks = [
            name for name in _NETWORKS if request_headers.get(_REQUEST + name, "").lower() == "true"
        ]
        # Newer versions of Starlette know the first, and would refuse what asks for that.
        ours = {f"{_REQUEST}{name}".encode() for name in _NETWORKS}
        rest = [(name, value) for name, value in request_headers.raw if name not in ours]
        answer = super().preflight_response(Headers(raw=rest))
        answer.headers["vary"] = _VARY
        if answer.status_code == 200:
            answer.headers.update({_ALLOW + name: "true" for name in networks})
        return answer


def _varying(send: Send) -> Send:
    """Return what says of an answer, too, that it would be another one for another origin."""

    async def varying(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            MutableHeaders(scope=message).add_vary_header("Origin")
        await send(message)

    return varying
