"""llama.cpp's own interface: /infill, as its editor plugins send it, and what goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from ....engine.cancel import CancelToken
from ....errors import ContextError
from ....model import Model
from ....stream import Usage
from ....text import endings as rules
from ....text.prompts import clean_messages
from ...service.requests import Hole, Wanted, fill, go_on
from ...web.embeddings import no_embeddings
from ...web.errors import HttpError
from ...web.exchange import Answer, Call, Dialect, Endpoint
from ...web.framing import Json
from . import shapes as shapes
from .replies import LlamaForm, chosen

# Without a filter named in `samplers`, the value that turns it off. What "infill" does there, to
# end early and drop unlikely tokens, the model's own default temperature does here.
_LETTERS = {"k": "top_k", "p": "top_p", "m": "min_p", "t": "temperature"}
_OFF: dict[str, float] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}


def _error(status: int, kind: str, message: str) -> Json:
    return {"error": {"code": status, "message": message, "type": kind}}


def _too_long(error: ContextError) -> Json:
    told = (
        f"the request exceeds the available context size: {error.prompt_tokens} tokens of "
        f"{error.context_tokens}, new ones included; shorten the prompt"
    )
    found = _error(400, "exceed_context_size_error", told)
    found["error"] |= {"n_prompt_tokens": error.prompt_tokens, "n_ctx": error.context_tokens}
    return found


DIALECT = Dialect("llama.cpp", _error, _too_long)


def _wanted(asked: shapes.Common) -> Wanted:
    if asked.grammar or asked.json_schema:
        raise HttpError(501, "grammars are not supported; leave grammar and json_schema out")
    used = asked.samplers
    if isinstance(used, str):
        used = [_LETTERS.get(letter, letter) for letter in used]
    off = {} if used is None else {name: _OFF[name] for name in _OFF if name not in used}
    values = {name: getattr(asked, name) for name in _OFF} | off
    hot = asked.temperature if used is None or "temperature" in used else None
    return Wanted(
        max_tokens=asked.n_predict,
        stop=asked.stop,
        top_logprobs=asked.n_probs or None,
        temperature=hot,
        top_k=None if values["top_k"] is None else int(values["top_k"]),
        top_p=values["top_p"],
        min_p=values["min_p"],
        repetition_penalty=asked.repeat_penalty,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
    )


def _positive(ms: float | None) -> float | None:
    return ms if ms is not None and ms > 0 else None


async def infill(call: Call, asked: shapes.InfillRequest) -> Answer | Response:
    """Fill a hole; with `n_predict` 0 only read what stands around it."""
    settings, wanted = call.settings, _wanted(asked)
    extra = tuple((one.filename, one.text) for one in asked.input_extra or ())
    if asked.n_predict == 0:
        return await _warmed(call, asked, extra)
    call.service.last_new_tokens = asked.n_predict or call.service.last_new_tokens
    hole = Hole(
        asked.input_prefix + asked.prompt,
        asked.input_suffix,
        extra,
        endings=rules.Endings(
            least_indent=asked.n_indent, line_ms=_positive(asked.t_max_predict_ms)
        ),
        prompt_ms=_positive(asked.t_max_prompt_ms) if settings.honour_prompt_time else None,
    )
    asks = [fill(hole, wanted, settings, index) for index in range(asked.n_cmpl or 1)]
    return await _answer(call, asked, asks, wanted)


async def _warmed(
    call: Call, asked: shapes.InfillRequest, extra: tuple[tuple[str, str], ...]
) -> Response:
    """Read what stands around a hole ahead, cut as for the last real request's new tokens.

    llama.vim sends files alone, which stand behind the suffix in this model's prompts: without one
    there is nothing to read ahead.
    """
    prefix, usage = asked.input_prefix + asked.prompt, Usage(0, 0, 0)
    if prefix or asked.input_suffix:
        most = Wanted(max_tokens=call.service.last_new_tokens)

        def warm(model: Model, cancel: CancelToken) -> Usage:
            return model.warm(
                prefix,
                asked.input_suffix,
                extra=extra,
                max_tokens=most.new_tokens(call.settings, model.context_tokens // 2),
                cancel=cancel,
            )

        usage = await call.service.warm(warm)
    found = shapes.CompletionResponse(
        index=0,
        content="",
        tokens=[],
        stop=True,
        model=asked.model or call.settings.name,
        tokens_predicted=0,
        tokens_evaluated=usage.prompt,
        stop_type="limit",
        tokens_cached=usage.prompt,
    ).as_json()
    fields = asked.response_fields
    return JSONResponse(found if fields is None else chosen(found, fields))


async def completion(call: Call, asked: shapes.CompletionRequest) -> Answer:
    """Continue a prompt."""
    wanted = _wanted(asked)
    model = await call.service.model()
    prompt = asked.prompt
    if isinstance(prompt, list):
        special = call.settings.parse_special
        prompt = await asyncio.to_thread(_joined, model, prompt, special=special)
    number = range(asked.n_cmpl or 1)
    asks = [go_on(prompt, wanted, call.settings, index) for index in number]
    return await _answer(call, asked, asks, wanted)


def _joined(model: Model, parts: Sequence[str | int], *, special: bool) -> list[int]:
    """Return the ids of parts that are ids or texts."""
    encode = model.tokens.encode_special if special else model.tokens.encode
    found = [[part] if isinstance(part, int) else encode(part) for part in parts]
    return [token for ids in found for token in ids]


async def _answer(call: Call, asked: shapes.Common, asks: list[Any], wanted: Wanted) -> Answer:
    form = LlamaForm(
        await call.service.model(),
        asked.model or call.settings.name,
        wanted,
        asked.response_fields,
        probs=bool(asked.n_probs),
    )
    return Answer(asks, form, bool(asked.stream), call.client)


async def tokenize(call: Call, asked: shapes.TokenizeRequest) -> Response:
    """Return the ids of a text."""
    tokens = (await call.service.model()).tokens
    special = asked.parse_special and call.settings.parse_special
    encode = tokens.encode_special if special else tokens.encode
    ids = await asyncio.to_thread(encode, asked.content)
    found: list[Any] = list(ids)
    if asked.with_pieces:
        found = [{"id": token, "piece": tokens.decode([token])} for token in ids]
    return JSONResponse({"tokens": found})


async def detokenize(call: Call, asked: shapes.DetokenizeRequest) -> Response:
    """Return the text of ids."""
    tokens = (await call.service.model()).tokens
    await asyncio.to_thread(tokens.check_ids, asked.tokens)
    return JSONResponse({"content": await asyncio.to_thread(tokens.decode, asked.tokens)})


async def apply_template(call: Call, asked: shapes.TemplateRequest) -> Response:
    """Return the text that a chat's prompt stands for."""
    model = await call.service.model()
    turns = [
        {"role": role, "content": content}
        for role, content in clean_messages([message.turn() for message in asked.messages])
    ]
    ids = await asyncio.to_thread(model.layouts.chat_ids, turns, model.tokens.encode)
    return JSONResponse({"prompt": model.tokens.decode(ids)})


async def props(call: Call, _: None) -> Response:
    """Return what clients ask of the server's properties."""
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
            "chat_template": "",
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

    def post(
        path: str, handle: Any, summary: str, request: Any = None, response: Any = None
    ) -> Endpoint:
        return Endpoint("POST", path, DIALECT, handle, summary, request, response)

    yield post(
        "/infill",
        infill,
        "Fill a hole, as editor plugins ask",
        shapes.InfillRequest,
        shapes.CompletionResponse,
    )
    for path in ("/completion", "/completions"):
        yield post(
            path,
            completion,
            "Continue a prompt",
            shapes.CompletionRequest,
            shapes.CompletionResponse,
        )
    yield post(
        "/tokenize", tokenize, "Text to ids", shapes.TokenizeRequest, shapes.TokenizeResponse
    )
    yield post(
        "/detokenize",
        detokenize,
        "Ids to text",
        shapes.DetokenizeRequest,
        shapes.DetokenizeResponse,
    )
    yield post(
        "/apply-template",
        apply_template,
        "The prompt of a conversation",
        shapes.TemplateRequest,
        shapes.TemplateResponse,
    )
    for path in ("/embeddings", "/embedding"):
        yield post(path, no_embeddings, "Not supported")
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
