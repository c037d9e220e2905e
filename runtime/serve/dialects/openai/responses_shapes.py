"""Requests and answers of OpenAI's responses interface: text in, text out, nothing stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ...web.framing import NewTokens, RequestShape, Shape, Unsupported, Unused, only
from .shapes import ResponseFormat

Role = Literal["system", "developer", "user", "assistant"]


class InputPart(RequestShape):
    """A part of a message; only text can be read."""

    type: Literal["input_text", "output_text", "text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        return only("input_text", "output_text", "text")(value)


class InputMessage(RequestShape):
    """One turn."""

    type: Literal["message"] = "message"
    role: Role
    content: str | Annotated[list[InputPart], Field(fail_fast=True)]

    @model_validator(mode="before")
    @classmethod
    def _messages_alone(cls, value: Any) -> Any:
        return only("message")(value)

    def turn(self) -> dict[str, str]:
        """Return it as the model's own roles know it."""
        role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, str):
            return {"role": role, "content": self.content}
        return {"role": role, "content": "\n".join(part.text for part in self.content)}


class TextOptions(RequestShape):
    """How the text is to be; `verbosity` changes nothing."""

    format: ResponseFormat | None = None


class ResponsesRequest(RequestShape):
    """POST /v1/responses. Fields of the interface that are not here are ignored."""

    model: str = ""
    input: str | Annotated[list[InputMessage], Field(fail_fast=True)]
    instructions: str | None = None
    max_output_tokens: NewTokens | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    stream_options: Unused = None
    truncation: Literal["auto", "disabled"] | None = None
    text: TextOptions | None = None
    metadata: dict[str, Any] | None = None
    store: Unused = None
    user: Unused = None
    background: Unsupported = None
    conversation: Unsupported = None
    previous_response_id: Unsupported = None
    prompt: Unsupported = None
    tools: Unsupported = None
    top_logprobs: Unsupported = None

    def turns(self) -> list[dict[str, str]]:
        """Return all turns, instructions first."""
        text = self.input
        turns = [InputMessage(role="user", content=text)] if isinstance(text, str) else text
        first = [{"role": "system", "content": self.instructions}] if self.instructions else []
        return [*first, *(message.turn() for message in turns)]


class OutputText(Shape):
    """The text of an answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = Field(default_factory=list)
    logprobs: list[Any] = Field(default_factory=list)


class OutputMessage(Shape):
    """The message that answers."""

    id: str
    type: Literal["message"] = "message"
    status: str
    role: Literal["assistant"] = "assistant"
    content: list[OutputText]


class InputDetails(Shape):
    """Of the prompt's tokens."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputDetails(Shape):
    """Of the new tokens."""

    reasoning_tokens: int = 0


class ResponsesUsage(Shape):
    """Token counts."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(Shape):
    """Why an answer is not whole."""

    reason: Literal["max_output_tokens"]


class ResponsesResponse(Shape):
    """An answer: whole, or in a stream as far as it has come."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: str
    model: str
    output: list[OutputMessage] = Field(default_factory=list)
    usage: ResponsesUsage | None = None
    error: None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any]
    temperature: float
    top_p: float
    truncation: Literal["auto", "disabled"]
    user: Any = None
    background: Literal[False] = False
    parallel_tool_calls: Literal[False] = False
    previous_response_id: None = None
    reasoning: None = None
    store: Literal[False] = False
    text: TextOptions = TextOptions(format=ResponseFormat(type="text"))
    tool_choice: Literal["auto"] = "auto"
    tools: list[Any] = Field(default_factory=list)

    def as_json(self) -> Any:
        """Return every field, as clients expect."""
        return self.model_dump(mode="json")
