"""Which web pages of other origins may call: those that `--allow-origin` names, singly or by `*`.

A browser tells a page's scheme, host and port; of a page that has none of these it says "null".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...errors import OptionError

NULL = "null"
# Browsers and editors give these to what was installed there, under ids that they draw by chance.
INSTALLED = (
    *("vscode-webview", "chrome-extension", "moz-extension", "safari-web-extension"),
    "ms-browser-extension",
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}  # which browsers leave out
_LAST_PORT = 65535
_NAME = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_ORIGIN = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\*|(?:\*\.)?{_NAME}|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}|\*))?",
    re.IGNORECASE,
)


def pattern_of(origins: Iterable[str]) -> re.Pattern[str]:
    """Return what matches, in full, the origins that were named.

    Raises:
        OptionError: when one is no origin, or a pattern of more than may be named.

    """
    return re.compile("|".join(sorted(map(_pattern, origins))) or "(?!)")


def _pattern(origin: str) -> str:
    if origin == NULL:
        return NULL
    match = _ORIGIN.fullmatch(origin)
    if problem := _problem(origin, match):
        raise OptionError(f"origin {origin!r:.80}: {problem}")
    assert match is not None
    scheme, host, port = match["scheme"].lower(), match["host"], match["port"]
    if scheme in _DEFAULT_PORTS:
        host = host.lower()  # as browsers send it; other schemes may leave it as it is
    if port == _DEFAULT_PORTS.get(scheme):
        port = None
    return f"{re.escape(scheme)}://{_host(host)}{_port(port)}"


def _problem(origin: str, match: re.Match[str] | None) -> str:
    """Say what is wrong with an origin; "" for nothing."""
    if origin == "*":
        return "that is every web page there is; expected yours, such as http://localhost:3000"
    if origin.lower().startswith("file:"):
        return f"expected {NULL!r}, which browsers send for files and sandboxed frames of any site"
    if match is None:
        return (
            "expected scheme://host or scheme://host:port and no path, such as "
            "http://localhost:3000, http://localhost:* or vscode-webview://*"
        )
    scheme, host, port = match["scheme"].lower(), match["host"], match["port"]
    if host == "*" and scheme not in INSTALLED:
        return f"expected a host; it may be '*' with {', '.join(INSTALLED)} only"
    rest = host.removeprefix("*.")
    if rest != host and "." not in rest and rest != "localhost":
        return "expected two names or more behind '*.', as all others have no single owner"
    if port is not None and port != "*" and not 0 < int(port) <= _LAST_PORT:
        return f"expected a port from 1 to {_LAST_PORT}, or '*'"
    return ""


def _host(host: str) -> str:
    if host == "*":
        return f"(?i:{_NAME})"
    rest = host.removeprefix("*.")
    return re.escape(host) if rest == host else rf"{_NAME}\.{re.escape(rest)}"


def _port(port: str | None) -> str:
    if port == "*":
        return "(?::[0-9]{1,5})?"  # the default one is not said
    return f":{port}" if port else ""
