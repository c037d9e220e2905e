"""The application: endpoints of all dialects behind one guard, over one service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import cache

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..model import Model
from .dialects import refact
from .dialects.llamacpp import endpoints as llamacpp
from .dialects.ollama import endpoints as ollama
from .dialects.openai import endpoints as openai
from .dialects.openai import responses as openai_responses
from .service.origins import pattern_of
from .service.service import Service
from .service.settings import Settings
from .web import openapi, pages
from .web.bodies import Bodies
from .web.cors import Cors
from .web.errors import KINDS
from .web.exchange import Dialect, Endpoint
from .web.framing import Json
from .web.guard import Guard
from .web.log import logger
from .web.metrics import Metrics


def all_endpoints(settings: Settings) -> list[Endpoint]:
    """Return every path that is served."""

    @cache
    def document() -> Json:
        return openapi.document(rows, settings)

    rows = [
        *openai.endpoints(),
        *openai_responses.endpoints(),
        *llamacpp.endpoints(),
        *refact.endpoints(openai.DIALECT),
        *ollama.endpoints(),
        *pages.endpoints(document, openai.DIALECT),
    ]
    return rows


def create_app(
    open_model: Callable[[], Model], settings: Settings, *, warm: bool = True
) -> Starlette:
    """Return the application.

    Args:
        open_model: opens the model, at the start and whenever it was let go.
        settings: which requests are answered, and how.
        warm: open the model at the start, and not at the first request.

    """
    service = Service(open_model, settings)
    metrics = Metrics(service)
    endpoints = all_endpoints(settings)

    def error(path: str, status: int, message: str) -> Json:
        metrics.answered("refused", status)
        fields = {"path": path[:200], "status": status, "why": message}
        logger.info("refused", extra={"fields": fields})
        kind = KINDS.get(status, "invalid_request_error")
        return dialect_of(path).error(status, kind, message)

    async def refused(request: Request, reason: Exception) -> Response:
        assert isinstance(reason, HTTPException)
        message = f"{request.method} {request.url.path[:80]}: {reason.detail}; see /openapi.json"
        content = error(request.url.path, reason.status_code, message)
        return JSONResponse(content, reason.status_code, reason.headers)

    public = [row.path.partition("{")[0] for row in endpoints if row.public]
    middleware = [Middleware(Guard, settings=settings, public=public, error=error)]
    if settings.origins:
        methods = {"HEAD", *(row.method for row in endpoints)}
        # Before the guard, as browsers ask first without a key.
        cors = Middleware(Cors, named=pattern_of(settings.origins), methods=methods)
        middleware.insert(0, cors)
    app = Starlette(
        routes=[_route(row) for row in endpoints],
        middleware=middleware,
        exception_handlers={HTTPException: refused},
        lifespan=_lifespan(service, warm=warm),
    )
    app.state.service, app.state.metrics = service, metrics
    # Of errors before a path is known: the one that most clients read.
    app.state.dialect = openai.DIALECT
    app.state.bodies = Bodies(settings.max_body_bytes, settings.receive_seconds)
    return app


def dialect_of(path: str) -> Dialect:
    """Return the dialect of the answer at a path that nobody serves."""
    if path.startswith("/api/"):
        return ollama.DIALECT
    own = ("/infill", "/completion", "/tokenize", "/detokenize", "/props", "/apply-template")
    return llamacpp.DIALECT if path.startswith(own) else openai.DIALECT


def _route(row: Endpoint) -> Route:
    return Route(row.path, row, methods=[row.method])


def _lifespan(
    service: Service, *, warm: bool
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        app.state.loop = asyncio.get_running_loop()
        if warm:
            await service.model()
        watching = asyncio.create_task(service.watch_idle())
        try:
            yield
        finally:
            watching.cancel()
            await service.close()

    return lifespan
