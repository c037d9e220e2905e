"""Requests and answers of Ollama's interface."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ...web.framing import NewTokens, RequestShape, Shape, Unsupported, Unused
from ...web.shapes import Stop

KeepAlive = Annotated[float, Field(allow_inf_nan=False)] | str | None


class Options(RequestShape):
    """How tokens are drawn. `num_ctx` changes nothing: the context is the model's."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    num_predict: NewTokens | None = None
    num_ctx: Unused = None
    seed: int | None = None
    stop: Stop = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Common(RequestShape):
    """What both requests share."""

    model: str = ""
    stream: bool | None = None
    options: Options | None = None
    keep_alive: KeepAlive = None
    format: str | dict[str, Any] | None = None


class GenerateRequest(Common):
    """POST /api/generate: a hole when there is a suffix, else a prompt that goes on."""

    prompt: str = ""
    suffix: str | None = None
    system: str = ""
    raw: bool | None = None
    images: Unsupported = None
    template: Unused = None


class Message(RequestShape):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str = ""
    images: Unsupported = None


class ChatRequest(Common):
    """POST /api/chat."""

    messages: Annotated[list[Message], Field(fail_fast=True)] | None = None
    tools: Unsupported = None


class ShowRequest(RequestShape):
    """POST /api/show; older clients say `name`."""

    model: str = ""
    name: str = ""


class Counts(Shape):
    """What ends an answer: counts, and durations in nanoseconds."""

    model: str
    created_at: str
    done: bool
    done_reason: str | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class GenerateResponse(Counts):
    """A text, or a part of one in a stream."""

    response: str


class ChatResponse(Counts):
    """A message, or a part of one in a stream."""

    message: Message


class ShowResponse(Shape):
    """What the model can do."""

    parameters: str
    template: str
    details: dict[str, Any]
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class TagsResponse(Shape):
    """The models: one."""

    models: list[dict[str, Any]]


class VersionResponse(Shape):
    """Of the dialect, and of the server."""

    version: str
    refact_edge: str
