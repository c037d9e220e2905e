"""Shapes of requests and answers, and how answers are cut into messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from ..service.run import Piece, Run
from .mistakes import unsupported

Json = Any  # what json.dumps takes


class Shape(BaseModel):
    """A part of a request or an answer; unknown fields are left aside."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    def as_json(self) -> Json:
        """Return the fields that were set, and no others."""
        return self.model_dump(mode="json", exclude_unset=True)


class RequestShape(Shape):
    """A part of a request. A field that is null counts as absent, as some clients mean it."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and None in fields.values():
            return {name: value for name, value in fields.items() if value is not None}
        return fields


def refused(value: Any, field: ValidationInfo) -> Any:
    """Refuse what the model cannot do, unless the value says that the client does without."""
    if value in (None, [], {}, "", "none", False):
        return None
    raise unsupported(field.field_name or "it")


def only(*types: str) -> Callable[[Any], Any]:
    """Return what refuses an object with a `type` other than these."""

    def check(value: Any) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind not in types:
            raise unsupported(kind)
        return value

    return check


Unsupported = Annotated[Any, AfterValidator(refused)]
Unused = Any  # it changes nothing here, whatever it is
# Below 0: as many as there is room for; llama.cpp and Ollama write that as -1 and -2.
NewTokens = Annotated[int, Field(ge=-2)]


class Reply(Protocol):
    """How a dialect puts an answer, whole or in pieces."""

    media_type: str

    def begin(self, run: Run) -> Iterable[Json]:
        """Return what a stream sends before anything is written."""
        ...

    def piece(self, run: Run, piece: Piece) -> Iterable[Json]:
        """Return what is sent of a piece."""
        ...

    def end(self, run: Run) -> Iterable[Json]:
        """Return what is sent after the last piece."""
        ...

    def failed(self, error: Json) -> Iterable[Json]:
        """Return what is sent when a stream is cut short; `error` is in the dialect's form."""
        ...

    def whole(self, run: Run) -> Json:
        """Return the answer in one piece, when all is written."""
        ...

    def frame(self, content: Json) -> bytes:
        """Return one message of a stream."""
        ...

    def closing(self) -> bytes:
        """Return what ends a stream."""
        ...


class Plain:
    """A stream that begins with its text, and ends with an error as its dialect tells it."""

    def begin(self, run: Run) -> Iterable[Json]:
        """Return nothing."""
        return ()

    def failed(self, error: Json) -> Iterable[Json]:
        """Return the error."""
        return (error,)


class ServerSentEvents(Plain):
    """Framing as of OpenAI and llama.cpp: `data: {...}` and an empty line."""

    media_type = "text/event-stream"
    last = b""

    def frame(self, content: Json) -> bytes:
        """Return one event."""
        return b"data: " + dumps(content) + b"\n\n"

    def closing(self) -> bytes:
        """Return what ends a stream."""
        return self.last


class JsonLines(Plain):
    """Framing as of Ollama: an object a line."""

    media_type = "application/x-ndjson"

    def frame(self, content: Json) -> bytes:
        """Return one line."""
        return dumps(content) + b"\n"

    def closing(self) -> bytes:
        """Return nothing."""
        return b""


def dumps(content: Json) -> bytes:
    """Return compact JSON in UTF-8; lone surrogates are escaped."""
    try:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":")).encode()
