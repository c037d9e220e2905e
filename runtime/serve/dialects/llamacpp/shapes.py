"""Requests and answers of llama.cpp's server."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ...web.framing import NewTokens, RequestShape, Shape, Unsupported, Unused
from ...web.shapes import ChatMessage, Id, Ids, Stop

Probs = Annotated[int, Field(ge=0, le=100)]
Milliseconds = Annotated[float, Field(ge=-1)]


class Common(RequestShape):
    """What /infill and /completion share.

    `samplers` names the filters that are used; `cache_prompt`, `id_slot` and `lora` change nothing
    here: prompts are always reused, by their text, and the weights are what they are.
    """

    model: str = ""
    n_predict: NewTokens | None = None
    stop: Stop = None
    stream: bool | None = None
    samplers: Annotated[list[str], Field(fail_fast=True)] | str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    n_probs: Probs | None = None
    n_cmpl: Annotated[int, Field(ge=1, le=16)] | None = None
    t_max_predict_ms: Milliseconds | None = None
    cache_prompt: Unused = None
    id_slot: Unused = None
    lora: Unused = None
    return_tokens: Unused = None
    response_fields: Annotated[list[str], Field(max_length=64, fail_fast=True)] | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None
    logit_bias: Unsupported = None


class ExtraFile(RequestShape):
    """Another open file, or a part of one."""

    text: str
    filename: str = ""


class InfillRequest(Common):
    """POST /infill: a hole; `prompt` is the cursor's line up to it, and follows the prefix."""

    input_prefix: str
    input_suffix: str
    input_extra: Annotated[list[ExtraFile], Field(fail_fast=True)] | None = None
    prompt: str = ""
    n_indent: Annotated[int, Field(ge=0, le=10000)] | None = None
    t_max_prompt_ms: Milliseconds | None = None


class CompletionRequest(Common):
    """POST /completion: a prompt goes on."""

    prompt: str | Ids | Annotated[list[str | Id], Field(fail_fast=True)]


class Timings(Shape):
    """How long prefill (prompt) and decode (predicted) took, in ms, and how many tokens."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float
    draft_n: int
    draft_n_accepted: int


class CompletionResponse(Shape):
    """The whole answer; in a stream the last message, those before have less."""

    index: int
    content: str
    tokens: list[int]
    stop: bool
    id_slot: int | None = None
    model: str | None = None
    tokens_predicted: int | None = None
    tokens_evaluated: int | None = None
    generation_settings: dict[str, Any] | None = None
    prompt: str | None = None
    has_new_line: bool | None = None
    truncated: bool | None = None
    stop_type: str | None = None
    stopping_word: str | None = None
    tokens_cached: int | None = None
    timings: Timings | None = None
    completion_probabilities: list[dict[str, Any]] | None = None


class TokenizeRequest(RequestShape):
    """POST /tokenize."""

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class TokenizeResponse(Shape):
    """Ids, or with pieces an id and a text each."""

    tokens: list[Any]


class DetokenizeRequest(RequestShape):
    """POST /detokenize."""

    tokens: Ids


class DetokenizeResponse(Shape):
    """Text."""

    content: str


class TemplateRequest(RequestShape):
    """POST /apply-template."""

    messages: Annotated[list[ChatMessage], Field(fail_fast=True)]


class TemplateResponse(Shape):
    """The prompt that a chat would send."""

    prompt: str


class PropsResponse(Shape):
    """GET /props."""

    default_generation_settings: dict[str, Any]
    total_slots: int
    model_path: str
    model_alias: str
    model_ftype: str
    chat_template: str
    eos_token: str
    build_info: str
    is_sleeping: bool


class HealthResponse(Shape):
    """GET /health."""

    status: str
    running: int
    waiting: int
    loaded: bool
