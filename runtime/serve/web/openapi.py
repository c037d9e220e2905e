"""The OpenAPI document, made of the table of endpoints and their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from .... import __version__
from ..service.settings import Settings
from .exchange import Endpoint
from .framing import Shape

_REF = "#/components/schemas/{model}"


def document(endpoints: Iterable[Endpoint], settings: Settings) -> dict[str, Any]:
    """Return OpenAPI 3.1 for the endpoints."""
    rows = list(endpoints)
    requests = {row.request for row in rows if row.request is not None}
    responses = {row.response for row in rows if row.response is not None}
    refs, schemas = models_json_schema(
        [
            *((shape, "validation") for shape in sorted(requests, key=_name)),
            *((shape, "serialization") for shape in sorted(responses, key=_name)),
        ],
        ref_template=_REF,
    )
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        operation = _operation(row, refs, secured=settings.api_key is not None)
        paths.setdefault(written(row.path), {})[row.method.lower()] = operation
    schemes = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "refact-edge", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas.get("$defs", {}), "securitySchemes": schemes},
    }


def written(path: str) -> str:
    """Return a route's path as the document writes it."""
    return path.replace(":path}", "}")


def _name(shape: type[Shape]) -> str:
    return f"{shape.__module__}.{shape.__name__}"


def _operation(row: Endpoint, refs: Any, *, secured: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": row.summary,
        "tags": [row.dialect.name],
        "responses": {
            "200": {"description": "The answer", "content": _answers(row, refs)},
            "4XX": {"description": "What is wrong with the request"},
            "501": {"description": "Not supported"},
            "503": {"description": "Too many requests wait; see Retry-After"},
        },
    }
    if row.request is not None:
        schema = refs[row.request, "validation"]
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    if names := re.findall(r"{(\w+)}", written(row.path)):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if secured and not row.public:
        operation["security"] = [{"key": []}]
    return operation


def _answers(row: Endpoint, refs: Any) -> dict[str, Any]:
    if row.response is None:
        return {row.media_type: {}}
    content = {row.media_type: {"schema": refs[row.response, "serialization"]}}
    if row.request is not None and "stream" in row.request.model_fields:
        content |= {"text/event-stream": {}, "application/x-ndjson": {}}
    return content
