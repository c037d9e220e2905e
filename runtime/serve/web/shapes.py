"""Shapes and words that several dialects share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..service.run import Run
from .framing import RequestShape, only

Stop = str | Annotated[list[str], Field(max_length=32, fail_fast=True)] | None
Id = Annotated[int, Field(ge=0)]
# Of a long list the first mistake is reported, and validation ends there.
Ids = Annotated[list[Id], Field(fail_fast=True)]

# All else is a stop. Cancelled is what a stream tells when the server ends.
_REASONS = {"length": "length", "time": "length", "cancelled": "length"}


def finish_reason(run: Run, index: int) -> str:
    """Return why a stream ended, in OpenAI's words."""
    return _REASONS.get(run.finish(index), "stop")


class TextPart(RequestShape):
    """A part of a message; only text can be read."""

    type: Literal["text", "input_text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        return only("text", "input_text")(value)


class ChatMessage(RequestShape):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)] | None = None

    def turn(self) -> dict[str, str]:
        """Return it as the model's own roles know it."""
        role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, list):
            return {"role": role, "content": "\n".join(part.text for part in self.content)}
        return {"role": role, "content": self.content or ""}
