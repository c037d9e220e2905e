"""Requests and answers of OpenAI's completion and chat interfaces, and of Mistral's FIM."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ...web.framing import NewTokens, RequestShape, Shape, Unsupported, Unused, only
from ...web.shapes import ChatMessage, Ids, Stop

# A number; clients that send chat's switch here by mistake mean none by false, and 1 by true.
Logprobs = Annotated[
    Annotated[int, Field(ge=0, le=100)] | None,
    BeforeValidator(lambda value: None if value is False else value),
]
Many = Annotated[int, Field(ge=1, le=16)]
Prompt = str | Ids | Annotated[list[str | Ids], Field(max_length=64, fail_fast=True)]


class Drawing(RequestShape):
    """How tokens are drawn; None is the model's default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: Unsupported = None


class StreamOptions(RequestShape):
    """What a stream tells besides text."""

    include_usage: bool = False


class CompletionRequest(Drawing):
    """POST /v1/completions: a hole when there is a suffix, else a text that goes on."""

    model: str = ""
    prompt: Prompt
    suffix: str | None = None
    max_tokens: NewTokens | None = None
    max_completion_tokens: NewTokens | None = None
    n: Many | None = None
    stop: Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Logprobs = None
    echo: bool | None = None
    user: Unused = None


class FimRequest(Drawing):
    """POST /v1/fim/completions, Mistral's way of sending a hole."""

    model: str = ""
    prompt: str
    suffix: str | None = None
    max_tokens: NewTokens | None = None
    stop: Stop = None
    stream: bool | None = None
    random_seed: int | None = None


class ResponseFormat(RequestShape):
    """Text is all that there is."""

    type: Literal["text"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        return only("text")(value)


class ChatRequest(Drawing):
    """POST /v1/chat/completions."""

    model: str = ""
    messages: Annotated[list[ChatMessage], Field(fail_fast=True)]
    max_tokens: NewTokens | None = None
    max_completion_tokens: NewTokens | None = None
    n_predict: NewTokens | None = None  # llama.vim warms the chat up with 0
    n: Many | None = None
    stop: Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=100)] | None = None
    response_format: ResponseFormat | None = None
    tools: Unsupported = None
    functions: Unsupported = None
    user: Unused = None


class CachedTokens(Shape):
    """Of the prompt."""

    cached_tokens: int


class UsageShape(Shape):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class TokenLogprobs(Shape):
    """Log-probabilities token by token, as the older interface puts them."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(Shape):
    """One text."""

    index: int
    text: str
    logprobs: TokenLogprobs | None
    finish_reason: str | None


class CompletionResponse(Shape):
    """A completion, or a part of one in a stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: UsageShape | None = None


class ChatAnswer(Shape):
    """The message that answers, or in a stream what is new of it."""

    role: str | None = None
    content: str | None = None


class ChatChoice(Shape):
    """One answer: whole as `message`, in a stream as `delta`s."""

    index: int
    message: ChatAnswer | None = None
    delta: ChatAnswer | None = None
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None


class ChatResponse(Shape):
    """An answer, or a part of one in a stream."""

    id: str
    object: Literal["chat.completion", "chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageShape | None = None


class ModelCard(Shape):
    """One model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    meta: dict[str, Any]


class ModelList(Shape):
    """GET /v1/models."""

    object: Literal["list"]
    data: list[ModelCard]
