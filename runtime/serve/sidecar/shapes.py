"""What the sidecar's messages hold. Clients in other languages have their types from here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

PROTOCOL = "1.0"  # the first number changes when a client would have to

Id = int | str
Count = Annotated[int, Field(ge=0)]


class Shape(BaseModel):
    """Fields in camelCase, of exactly these types, and no others."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )


class OpenFile(Shape):
    """Another file that is open."""

    name: str
    text: str


class CursorParams(Shape):
    """A cursor, and what stands around it."""

    prefix: str = Field(description="The file up to the cursor.")
    suffix: str = Field("", description="The file from the cursor on.")
    extra: list[OpenFile] = Field([], description="Other open files, the most important first.")
    filename: str = Field("", description="Of the file itself, used only beside extra.")
    multiline: bool = Field(True, description="False completes the cursor's line only.")
    max_tokens: int | None = Field(None, description="The most new tokens.")


class SamplingParams(Shape):
    """How tokens are drawn, and how the answer comes; null takes the model's default."""

    stop: list[str] | None = Field(None, description="Texts that end it; null is a blank line.")
    temperature: float | None = Field(None, description="0 takes the likeliest.")
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = Field(None, description="The same one gives the same text.")
    stream: bool = Field(False, description="Send pieces as they are generated, too.")
    window: str = Field(
        "", description="Who asks: a newer request of the same window ends the older one."
    )


class CompleteParams(CursorParams, SamplingParams):
    """What is to be completed."""

    prompt_ms: float | None = Field(None, description="Time limit for the prompt, in ms.")
    total_ms: float | None = Field(None, description="Time limit for the whole request, in ms.")


class Message(Shape):
    """A part of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatParams(SamplingParams):
    """A conversation, whose last message is to be answered."""

    messages: list[Message]
    max_tokens: int | None = Field(None, description="The most new tokens.")


class WarmParams(CursorParams):
    """A cursor whose prompt is to be evaluated ahead."""


class RequestParams(Shape):
    """An earlier request."""

    id: Id


class InitializeParams(Shape):
    """Who is there."""

    protocol: str = Field(PROTOCOL, description="That the client speaks.")
    client: str = Field("", description="Its name and version, for the log.")
    process_id: int | None = Field(None, description="The sidecar ends when this process does.")


class NoParams(Shape):
    """Nothing."""


class Usage(Shape):
    """Tokens: of the prompt, of those from a cache, and new ones."""

    prompt: Count
    cached: Count
    new: Count


class Generated(Shape):
    """What was generated."""

    text: str
    finish: str = Field(description="stop, length, unsure, time or cancelled.")
    usage: Usage


class Model(Shape):
    """What the model is, and what computes it."""

    name: str
    architecture: str
    variant: str
    device: str
    engine: str
    context_tokens: Count
    weight_bytes: Count
    fills: bool = Field(description="Whether it sees what stands behind a cursor.")
    chats: bool = Field(description="Whether it was trained to answer messages.")


class Initialized(Shape):
    """The sidecar, and its model."""

    protocol: str
    version: str
    model: Model


class Stats(Shape):
    """Counts since the start."""

    requests: Count
    suggestions: Count
    accepted: Count
    prompt_tokens: Count
    reused_tokens: Count
    new_tokens: Count
    running: Count
    waiting: Count


class Ready(Shape):
    """The first message: requests are taken from now on."""

    protocol: str
    version: str
    pid: Count


class PieceOf(Shape):
    """A piece of the text of a request that is streamed."""

    id: Id
    text: str


class Failure(Shape):
    """More on an error."""

    kind: str = Field(description="Its name in Python: OptionError, BusyError, ReplacedError ...")
