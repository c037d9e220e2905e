"""llama.cpp's own interface: /infill, as its editor plugins send it, and what goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from ....engine.cancel import CancelToken
from ....errors import ContextError
from ....model import Model
from ....stream import Usage
from ....text.cursor import Cursor
from ....text.endings import Endings
from ....text.limits import Limits
from ....text.messages import clean_messages
from ...service.requests import GenerationOptions, fill, go_on
from ...web.chat import require_chat
from ...web.embeddings import no_embeddings
from ...web.errors import HttpError
from ...web.exchange import Call, Dialect, Endpoint, Job
from ...web.framing import Json
from . import shapes as shapes
from .replies import LlamaReply, chosen

# Without a filter named in `samplers`, the value that turns it off. What "infill" does there, to
# end early and drop unlikely tokens, the model's own default temperature does here.
_LETTERS = {"k": "top_k", "p": "top_p", "m": "min_p", "t": "temperature"}
_OFF: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}


def _error(status: int, kind: str, message: str) -> Json:
    return {"error": {"code": status, "message": message, "type": kind}}


def _too_long(error: ContextError) -> Json:
    message = (
        f"the request exceeds the available context size: {error.prompt_tokens} tokens of "
        f"{error.context_tokens}, new ones included; shorten the prompt"
    )
    content = _error(400, "exceed_context_size_error", message)
    content["error"] |= {"n_prompt_tokens": error.prompt_tokens, "n_ctx": error.context_tokens}
    return content


DIALECT = Dialect("llama.cpp", _error, _too_long)


def _options(body: shapes.Common) -> GenerationOptions:
    if body.grammar or body.json_schema:
        raise HttpError(501, "grammars are not supported; leave grammar and json_schema out")
    options = GenerationOptions.from_request(
        body, max_tokens="n_predict", top_logprobs="n_probs", repetition_penalty="repeat_penalty"
    )
    options = replace(options, top_logprobs=body.n_probs or None)
    if body.samplers is None:
        return options
    filters = body.samplers
    if isinstance(filters, str):
        filters = [_LETTERS.get(letter, letter) for letter in filters]
    off = {name: value for name, value in _OFF.items() if name not in filters}
    if "temperature" not in filters:
        off["temperature"] = None
    return replace(options, **off)


def _positive(ms: float | None) -> float | None:
    return ms if ms is not None and ms > 0 else None


async def infill(call: Call, body: shapes.InfillRequest) -> Job | Response:
    """Fill a hole; with `n_predict` 0 only evaluate the prompt ahead."""
    settings, options = call.settings, _options(body)
    extra = tuple((one.filename, one.text) for one in body.input_extra or ())
    cursor = Cursor(body.input_prefix + body.prompt, body.input_suffix, extra)
    if body.n_predict == 0:
        return await _warmed(call, body, cursor)
    call.service.last_new_tokens = body.n_predict or call.service.last_new_tokens
    endings = Endings(least_indent=body.n_indent, line_ms=_positive(body.t_max_predict_ms))
    prompt_ms = _positive(body.t_max_prompt_ms) if settings.honour_prompt_time else None
    limits = Limits(prompt_ms=prompt_ms, endings=endings)
    asks = [fill(cursor, options, settings, index, limits) for index in range(body.n_cmpl or 1)]
    return await _job(call, body, asks, options)


async def _warmed(call: Call, body: shapes.InfillRequest, cursor: Cursor) -> Response:
    """Evaluate the prompt of a hole ahead, with room for the last real request's new tokens.

    llama.vim sends files alone, which stand behind the suffix in this model's prompts: without one
    there is nothing to evaluate ahead.
    """
    usage = Usage(0, 0, 0)
    if cursor.prefix or cursor.suffix:
        last = GenerationOptions(max_tokens=call.service.last_new_tokens)

        def warm(model: Model, cancel: CancelToken) -> Usage:
            new = last.new_tokens(call.settings, model.context_tokens // 2)
            return model.warm_at(cursor, new, cancel=cancel)

        usage = await call.service.warm(warm)
    content = shapes.CompletionResponse(
        index=0,
        content="",
        tokens=[],
        stop=True,
        model=body.model or call.settings.name,
        tokens_predicted=0,
        tokens_evaluated=usage.prompt,
        stop_type="limit",
        tokens_cached=usage.prompt,
    ).as_json()
    fields = body.response_fields
    return JSONResponse(content if fields is None else chosen(content, fields))


async def completion(call: Call, body: shapes.CompletionRequest) -> Job:
    """Continue a prompt."""
    options = _options(body)
    model = await call.service.model()
    prompt = body.prompt
    if isinstance(prompt, list):
        special = call.settings.parse_special
        prompt = await asyncio.to_thread(_joined, model, prompt, special=special)
    number = range(body.n_cmpl or 1)
    asks = [go_on(prompt, options, call.settings, index) for index in number]
    return await _job(call, body, asks, options)


def _joined(model: Model, parts: Sequence[str | int], *, special: bool) -> list[int]:
    """Return the ids of parts that are ids or texts."""
    encode = model.tokens.encode_special if special else model.tokens.encode
    pieces = [[part] if isinstance(part, int) else encode(part) for part in parts]
    return [token for ids in pieces for token in ids]


async def _job(call: Call, body: shapes.Common, asks: list[Any], options: GenerationOptions) -> Job:
    reply = LlamaReply(
        await call.service.model(),
        body.model or call.settings.name,
        options,
        body.response_fields,
        probs=bool(body.n_probs),
    )
    return Job(asks, reply, bool(body.stream), call.client)


async def tokenize(call: Call, body: shapes.TokenizeRequest) -> Response:
    """Return the ids of a text."""
    tokens = (await call.service.model()).tokens
    special = body.parse_special and call.settings.parse_special
    encode = tokens.encode_special if special else tokens.encode
    ids = await asyncio.to_thread(encode, body.content)
    content: list[Any] = list(ids)
    if body.with_pieces:
        content = [{"id": token, "piece": tokens.decode([token])} for token in ids]
    return JSONResponse({"tokens": content})


async def detokenize(call: Call, body: shapes.DetokenizeRequest) -> Response:
    """Return the text of ids."""
    tokens = (await call.service.model()).tokens
    await asyncio.to_thread(tokens.check_ids, body.tokens)
    return JSONResponse({"content": await asyncio.to_thread(tokens.decode, body.tokens)})


async def apply_template(call: Call, body: shapes.TemplateRequest) -> Response:
    """Return the text that a chat's prompt stands for."""
    await require_chat(call, 501)
    model = await call.service.model()
    turns = [
        {"role": role, "content": content}
        for role, content in clean_messages([message.turn() for message in body.messages])
    ]
    ids = await asyncio.to_thread(model.layouts.chat_ids, turns, model.tokens.encode)
    return JSONResponse({"prompt": model.tokens.decode(ids)})


async def props(call: Call, _: None) -> Response:
    """Return the server's properties that clients read."""
    about = await call.service.about()
    return JSONResponse(
        {
            "default_generation_settings": {
                "n_ctx": about.bundle.sizes.context,
                "params": {
                    "temperature": about.sampling.temperature,
                    "top_k": about.sampling.top_k,
                    "top_p": about.sampling.top_p,
                },
            },
            "total_slots": call.settings.slots,
            "model_path": about.bundle.path.name,
            "model_alias": call.settings.name,
            "model_ftype": about.variant,
            "chat_template": "",
            "eos_token": about.abilities.ends[0],
            "build_info": "refact-edge",
            "is_sleeping": not call.service.loaded,
        }
    )


async def health(call: Call, _: None) -> Response:
    """Say that the server is there."""
    service = call.service
    return JSONResponse(
        {
            "status": "ok",
            "running": service.running,
            "waiting": service.waiting,
            "loaded": service.loaded,
        }
    )


def endpoints() -> Iterator[Endpoint]:
    """Return llama.cpp's paths."""
    for paths, handle, summary, request, response in _POSTS:
        for path in paths:
            yield Endpoint("POST", path, DIALECT, handle, summary, request, response)
    yield Endpoint("GET", "/props", DIALECT, props, "The server", None, shapes.PropsResponse)
    for path in ("/health", "/v1/health"):
        yield Endpoint(
            "GET",
            path,
            DIALECT,
            health,
            "Whether the server is there",
            None,
            shapes.HealthResponse,
            public=True,
        )


_POSTS: tuple[tuple[tuple[str, ...], Any, str, Any, Any], ...] = (
    (
        ("/infill",),
        infill,
        "Fill a hole, as editor plugins do",
        shapes.InfillRequest,
        shapes.CompletionResponse,
    ),
    (
        ("/completion", "/completions"),
        completion,
        "Continue a prompt",
        shapes.CompletionRequest,
        shapes.CompletionResponse,
    ),
    (("/tokenize",), tokenize, "Text to ids", shapes.TokenizeRequest, shapes.TokenizeResponse),
    (
        ("/detokenize",),
        detokenize,
        "Ids to text",
        shapes.DetokenizeRequest,
        shapes.DetokenizeResponse,
    ),
    (
        ("/apply-template",),
        apply_template,
        "The prompt of a conversation",
        shapes.TemplateRequest,
        shapes.TemplateResponse,
    ),
    (("/embeddings", "/embedding"), no_embeddings, "Not supported", None, None),
)
