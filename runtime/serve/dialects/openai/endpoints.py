"""OpenAI's completions and chat, and Mistral's way of sending a hole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from starlette.responses import JSONResponse, Response

from ....bundle.decoder import parameter_count
from ....errors import ContextError
from ....model import Model
from ....text.cursor import Cursor
from ...service.requests import GenerationOptions, fill, go_on, reply
from ...service.service import About
from ...web.chat import require_chat
from ...web.embeddings import no_embeddings
from ...web.errors import HttpError
from ...web.exchange import Call, Dialect, Endpoint, Job
from ...web.framing import Json
from . import shapes as shapes
from .replies import ChatReply, CompletionReply


def _error(status: int, kind: str, message: str) -> Json:
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def _too_long(error: ContextError) -> Json:
    return {
        "error": {
            "message": f"This model's maximum context length is {error.context_tokens} tokens, "
            f"new ones included. However, the prompt has {error.prompt_tokens}; shorten the prompt",
            "type": "invalid_request_error",
            "param": None,
            "code": "context_length_exceeded",
        }
    }


DIALECT = Dialect("openai", _error, _too_long)


def _most(body: shapes.CompletionRequest | shapes.ChatRequest) -> int | None:
    """Return the most new tokens of a request; the newer of the two names counts."""
    newer = body.max_completion_tokens
    return body.max_tokens if newer is None else newer


def _with_usage(options: shapes.StreamOptions | None) -> bool:
    return options is not None and options.include_usage


async def completions(call: Call, body: shapes.CompletionRequest) -> Job:
    """Fill a hole, where there is a suffix, or continue prompts."""
    model, settings = await call.service.model(), call.settings
    options = GenerationOptions.from_request(body, top_logprobs="logprobs")
    options = replace(options, max_tokens=_most(body))
    scored = bool(body.echo) and body.logprobs is not None
    asks, echoed = [], []
    for prompt in _prompts(body.prompt):
        if body.suffix is not None and not isinstance(prompt, str):
            raise HttpError(400, "a suffix needs a prompt as text; this one is a list of ids")
        text = await asyncio.to_thread(_text_of, model, prompt)
        for index in range(body.n or 1):
            if body.suffix is not None and isinstance(prompt, str):
                asks.append(fill(Cursor(prompt, body.suffix), options, settings, index))
            else:
                asks.append(go_on(prompt, options, settings, index, score_prompt=scored))
            echoed.append(text)
    answer = CompletionReply(
        model,
        body.model or settings.name,
        usage=_with_usage(body.stream_options),
        logprobs=body.logprobs is not None,
        echoed=echoed if body.echo else (),
        scored=scored and body.suffix is None,
    )
    return Job(asks, answer, bool(body.stream), call.client)


def _text_of(model: Model, prompt: str | list[int]) -> str:
    if isinstance(prompt, str):
        return prompt
    model.tokens.check_ids(prompt)
    return model.tokens.decode(prompt)


def _prompts(prompt: shapes.Prompt) -> Sequence[str | list[int]]:
    """Return the prompts: one text, one list of ids, or a list of such."""
    if isinstance(prompt, str):
        return [prompt]
    ids = [token for token in prompt if isinstance(token, int)]
    return [ids] if len(ids) == len(prompt) else [p for p in prompt if not isinstance(p, int)]


async def fim(call: Call, body: shapes.FimRequest) -> Job:
    """Fill a hole and answer as a chat does."""
    options = GenerationOptions.from_request(body)
    if body.random_seed is not None:
        options = replace(options, seed=body.random_seed)
    ask = fill(Cursor(body.prompt, body.suffix or ""), options, call.settings)
    answer = ChatReply(await call.service.model(), body.model or call.settings.name)
    return Job([ask], answer, bool(body.stream), call.client)


async def chat(call: Call, body: shapes.ChatRequest) -> Job:
    """Answer the last message."""
    await require_chat(call)
    most = _most(body)
    if most is None and body.n_predict is not None:
        most = body.n_predict or 1  # 0 is for evaluating the prompt ahead
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    options = GenerationOptions.from_request(body)
    options = replace(options, max_tokens=most, top_logprobs=logprobs)
    turns = [message.turn() for message in body.messages]
    answer = ChatReply(
        await call.service.model(),
        body.model or call.settings.name,
        usage=_with_usage(body.stream_options),
        logprobs=logprobs is not None,
    )
    asks = [reply(turns, options, call.settings, index) for index in range(body.n or 1)]
    return Job(asks, answer, bool(body.stream))


async def models(call: Call, _: None) -> Response:
    """List the one model."""
    card = _card(await call.service.about(), call.settings.name)
    return JSONResponse(shapes.ModelList(object="list", data=[card]).as_json())


async def one_model(call: Call, _: None) -> Response:
    """Return the model's card, by any name; without one list it."""
    name = call.request.path_params["name"]
    if not name:
        return await models(call, None)
    card = _card(await call.service.about(), name)
    return JSONResponse(card.as_json())


def _card(about: About, name: str) -> shapes.ModelCard:
    sizes, abilities = about.bundle.sizes, about.abilities
    return shapes.ModelCard(
        id=name,
        object="model",
        created=0,
        owned_by="refact-edge",
        meta={
            "n_ctx": sizes.context,
            "n_ctx_train": sizes.context,
            "n_embd": sizes.width,
            "n_vocab": sizes.tokens,
            "n_params": parameter_count(about.bundle.decoder),
            "size": about.bytes,
            "variant": about.variant,
            "device": about.device,
            "architecture": about.bundle.architecture,
            "fills_holes": abilities.fills,
            "chats": abilities.chats,
        },
    )


def endpoints() -> Iterable[Endpoint]:
    """Return OpenAI's paths."""
    yield Endpoint(
        "POST",
        "/v1/completions",
        DIALECT,
        completions,
        "Fill a hole (with a suffix) or continue prompts",
        shapes.CompletionRequest,
        shapes.CompletionResponse,
    )
    yield Endpoint(
        "POST",
        "/v1/chat/completions",
        DIALECT,
        chat,
        "Answer the last message of a conversation",
        shapes.ChatRequest,
        shapes.ChatResponse,
    )
    yield Endpoint(
        "POST",
        "/v1/fim/completions",
        DIALECT,
        fim,
        "Fill a hole, in Mistral's way",
        shapes.FimRequest,
        shapes.ChatResponse,
    )
    yield Endpoint("POST", "/v1/embeddings", DIALECT, no_embeddings, "Not supported")
    yield Endpoint("GET", "/v1/models", DIALECT, models, "List the model", None, shapes.ModelList)
    yield Endpoint(
        "GET",
        "/v1/models/{name:path}",
        DIALECT,
        one_model,
        "The model, by any name",
        None,
        shapes.ModelCard,
    )
