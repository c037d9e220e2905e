"""Who may call: by which name, from which web page, with which key.

A page of any web site can send requests to loopback, and with a name of its own that it lets point
there it could read the answers; hence the checks of Host and Origin.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..service.origins import pattern_of
from ..service.settings import LOCAL_HOSTS, Settings

ErrorOf = Callable[[str, int, str], object]  # of a path, a status and a message


class Guard:
    """Middleware that lets no request through which should not be answered."""

    def __init__(
        self, app: ASGIApp, settings: Settings, public: Iterable[str], error: ErrorOf
    ) -> None:
        """Ask for a key everywhere but below the `public` paths."""
        self._app, self._settings = app, settings
        self._public, self._error = tuple(public), error
        self._hosts = LOCAL_HOSTS | settings.hosts
        self._named = pattern_of(settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with what is wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        status, message = self._refusal(headers, scope["path"])
        if not status:
            await self._app(scope, receive, send)
            return
        content = json.dumps(self._error(scope["path"], status, message))
        more = {"www-authenticate": "Bearer"} if status == 401 else {}
        answer = Response(content, status, {"connection": "close", **more}, "application/json")
        await answer(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> tuple[int, str]:
        """Return the status and what is wrong; 0 for nothing."""
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return 400, f"{len(hosts)} Host headers; expected one"
        if _name(hosts[0]) not in self._hosts:
            return 403, f"Host {hosts[0][:80]!r}; expected a local name, or one of --allow-host"
        origin = headers.get("origin")
        if origin is not None and not self._allowed(origin, hosts[0]):
            return 403, f"Origin {origin[:80]!r}; allow it with --allow-origin"
        if self._settings.api_key and not self._is_public(path) and not self._has_key(headers):
            return 401, "no key, or a wrong one; send the header Authorization: Bearer KEY"
        return 0, ""

    def _allowed(self, origin: str, host: str) -> bool:
        """Whether it is our own page, or one that was named."""
        own = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
        return self._named.fullmatch(origin) is not None or origin.lower() in own

    def _is_public(self, path: str) -> bool:
        return any(
            path == public or (public.endswith("/") and public != "/" and path.startswith(public))
            for public in self._public
        )

    def _has_key(self, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        key = self._settings.api_key or ""
        return kind.lower() == "bearer" and hmac.compare_digest(
            value.strip().encode(), key.encode()
        )


def _name(host: str) -> str:
    """Return a host without its port, in lower case; IPv6 addresses keep their brackets."""
    name, _, port = host.lower().rpartition(":")
    return (
        name if name and (port.isdigit() or not port) and not name.endswith(":") else host.lower()
    )
