"""The methods, in one table, and the OpenRPC document of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import models_json_schema

from . import shapes
from .shapes import PROTOCOL, Shape

READY, PIECE = "ready", "piece"


@dataclass(frozen=True)
class Method:
    """A method: what it takes and returns, and what it does."""

    params: type[Shape]
    result: type[Shape] | None
    summary: str


METHODS: Mapping[str, Method] = {
    "initialize": Method(
        shapes.InitializeParams, shapes.Initialized, "Say who is there; returns what the model is."
    ),
    "complete": Method(shapes.CompleteParams, shapes.Generated, "Write what belongs at a cursor."),
    "chat": Method(shapes.ChatParams, shapes.Generated, "Answer the last message."),
    "warm": Method(
        shapes.WarmParams, shapes.Usage, "Evaluate a prompt ahead; gives way to any request."
    ),
    "cancel": Method(
        shapes.RequestParams, None, "End a request: it is answered with its text so far."
    ),
    "accept": Method(
        shapes.RequestParams, None, "Count a completion as accepted; the next one is prepared."
    ),
    "stats": Method(shapes.NoParams, shapes.Stats, "Counts since the start."),
    "shutdown": Method(shapes.NoParams, None, "End all that is computed, and then the sidecar."),
}
NOTIFICATIONS: Mapping[str, Method] = {
    READY: Method(shapes.Ready, None, "The first message: requests are taken from now on."),
    PIECE: Method(shapes.PieceOf, None, "A piece of the text of a request with stream."),
}
# By the names of errors, the nearest base first; see `code_of`.
CODES = {
    "BusyError": -32000,
    "ReplacedError": -32001,
    "EndingError": -32002,
    "BundleError": -32003,
    "DeviceError": -32003,
    "RefactEdgeError": -32602,
}
PARSE, INVALID, UNKNOWN, PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603


def code_of(error: Exception) -> int:
    """Return the number of an error; of a bug, that of internal ones."""
    names = (kind.__name__ for kind in type(error).__mro__)
    return next((CODES[name] for name in names if name in CODES), INTERNAL)


def document() -> dict[str, Any]:
    """Return the OpenRPC document; what the sidecar sends by itself is in `x-notifications`."""
    pairs = [*METHODS.items(), *NOTIFICATIONS.items()]
    kinds: set[type[Shape]] = {shapes.Failure, *(method.params for _, method in pairs)}
    kinds |= {method.result for _, method in pairs if method.result is not None}
    in_order = sorted(kinds, key=lambda kind: kind.__name__)
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in in_order], ref_template="#/components/schemas/{model}"
    )
    return {
        "openrpc": "1.3.2",
        "info": {"title": "refact-edge sidecar", "version": PROTOCOL},
        "methods": [_method(name, method) for name, method in METHODS.items()],
        "x-notifications": [_method(name, method) for name, method in NOTIFICATIONS.items()],
        "components": {"schemas": schemas["$defs"], "errors": _errors()},
    }


def _method(name: str, method: Method) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": [
            {
                "name": field.alias or own,
                "required": field.is_required(),
                "schema": {
                    "$ref": f"#/components/schemas/{method.params.__name__}/properties/"
                    f"{field.alias or own}"
                },
            }
            for own, field in method.params.model_fields.items()
        ],
        "x-params": {"$ref": f"#/components/schemas/{method.params.__name__}"},
    }
    if name in METHODS:
        schema = (
            {"$ref": f"#/components/schemas/{method.result.__name__}"}
            if method.result
            else {"type": "null"}
        )
        described["result"] = {"name": "result", "schema": schema}
    return described


def _errors() -> dict[str, Any]:
    return {
        name: {"code": code, "message": "one line: what was found, what was expected, what to do"}
        for name, code in CODES.items()
    }
