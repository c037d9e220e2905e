"""What is not the model's: the playground's files, the figures, the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from .errors import HttpError
from .exchange import Call, Dialect, Endpoint
from .files import file_response
from .metrics import CONTENT_TYPE

PAGE = Path(__file__).parents[1] / "page"
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_FILES = {file.name for file in PAGE.iterdir() if file.suffix in _TYPES}
# Nothing from elsewhere, and no other page may show this one.
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


async def front(call: Call, _: None) -> Response:
    """Show the page to browsers, and to Ollama's clients that somebody is there."""
    if "text/html" in call.request.headers.get("accept", ""):
        return await file_response(PAGE / "index.html", "text/html", _HEADERS)
    return PlainTextResponse("Ollama is running")


async def page_file(call: Call, _: None) -> Response:
    """Return one of the page's files."""
    name = call.request.path_params["name"]
    if name not in _FILES:
        raise HttpError(404, f"no file {name!r:.40} here")
    return await file_response(PAGE / name, _TYPES[Path(name).suffix], _HEADERS)


async def metrics(call: Call, _: None) -> Response:
    """Return the figures."""
    return Response(call.metrics.text(), media_type=CONTENT_TYPE)


def endpoints(document: Callable[[], dict[str, Any]], dialect: Dialect) -> Iterable[Endpoint]:
    """Return the paths; `document` makes the OpenAPI document, `dialect` reports errors."""

    async def openapi(_: Call, __: None) -> Response:
        """Return the document."""
        return JSONResponse(document())

    html, plain = "text/html", "text/plain"
    yield Endpoint("GET", "/", dialect, front, "The playground", public=True, media_type=html)
    yield Endpoint(
        "GET", "/page/{name}", dialect, page_file, "Its files", public=True, media_type=plain
    )
    yield Endpoint("GET", "/metrics", dialect, metrics, "Figures", media_type=plain)
    yield Endpoint("GET", "/openapi.json", dialect, openapi, "This document")
