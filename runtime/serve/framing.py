"""Shapes of requests and answers, and how answers are cut into messages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .mistakes import unsupported
from .run import Piece, Run

Json = Any  # what json.dumps takes


class Shape(BaseModel):
    """A part of a request or an answer; unknown fields are left aside."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    def as_json(self) -> Json:
        """Return what was set, and nothing else."""
        return self.model_dump(mode="json", exclude_unset=True)


class Asked(Shape):
    """A part of a request. Null is taken for not given, as some clients write it."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if isinstance(given, dict) and None in given.values():
            return {name: value for name, value in given.items() if value is not None}
        return given


def refused(value: Any) -> Any:
    """Refuse what the model cannot do, when it is asked for in earnest."""
    if value in (None, [], {}, "", "none", False):
        return None
    raise unsupported()


Unsupported = Annotated[Any, AfterValidator(refused)]
Unused = Any  # it changes nothing here, whatever it is
# Below 0 as many as there is room for, in llama.cpp's and Ollama's two ways; more are cut to that.
NewTokens = Annotated[int, Field(ge=-2)]


class Form(Protocol):
    """How a dialect puts an answer."""

    media_type: str

    def piece(self, run: Run, piece: Piece) -> Iterable[Json]:
        """Return what is sent of a piece."""
        ...

    def end(self, run: Run) -> Iterable[Json]:
        """Return what is sent when all pieces were."""
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


class ServerSentEvents:
    """Framing as of OpenAI and llama.cpp: `data: {...}` and an empty line."""

    media_type = "text/event-stream"
    last = b""

    def frame(self, content: Json) -> bytes:
        """Return one event."""
        return b"data: " + dumps(content) + b"\n\n"

    def closing(self) -> bytes:
        """Return what ends a stream."""
        return self.last


class JsonLines:
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
