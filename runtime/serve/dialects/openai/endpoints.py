"""OpenAI's completions and chat, and Mistral's form of a hole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from starlette.responses import JSONResponse, Response

from ....errors import ContextError
from ....model import Model
from ...service.requests import Hole, Wanted, fill, go_on, reply
from ...service.service import About
from ...web.embeddings import no_embeddings
from ...web.errors import HttpError
from ...web.exchange import Answer, Call, Dialect, Endpoint
from ...web.framing import Json
from ...web.shapes import Stop
from . import shapes as shapes
from .replies import ChatForm, CompletionForm


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


def _drawn(
    asked: shapes.Drawing, most: int | None, stop: Stop, logprobs: int | None = None
) -> Wanted:
    return Wanted(
        max_tokens=most,
        stop=stop,
        top_logprobs=logprobs,
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
    )


def _most(asked: shapes.CompletionRequest | shapes.ChatRequest) -> int | None:
    """Return how many new tokens were asked for; the newer of the two names counts."""
    newer = asked.max_completion_tokens
    return asked.max_tokens if newer is None else newer


def _told_usage(options: shapes.StreamOptions | None) -> bool:
    return options is not None and options.include_usage


async def completions(call: Call, asked: shapes.CompletionRequest) -> Answer:
    """Fill a hole, where there is a suffix, or continue prompts."""
    model, settings = await call.service.model(), call.settings
    wanted = _drawn(asked, _most(asked), asked.stop, asked.logprobs)
    scored = bool(asked.echo) and asked.logprobs is not None
    asks, echoed = [], []
    for prompt in _prompts(asked.prompt):
        if asked.suffix is not None and not isinstance(prompt, str):
            raise HttpError(400, "a suffix needs a prompt as text; this one is a list of ids")
        text = await asyncio.to_thread(_text_of, model, prompt)
        for index in range(asked.n or 1):
            if asked.suffix is not None and isinstance(prompt, str):
                asks.append(fill(Hole(prompt, asked.suffix), wanted, settings, index))
            else:
                asks.append(go_on(prompt, wanted, settings, index, score_prompt=scored))
            echoed.append(text)
    form = CompletionForm(
        model,
        asked.model or settings.name,
        usage=_told_usage(asked.stream_options),
        logprobs=asked.logprobs is not None,
        echoed=echoed if asked.echo else (),
        scored=scored and asked.suffix is None,
    )
    return Answer(asks, form, bool(asked.stream), call.client)


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


async def fim(call: Call, asked: shapes.FimRequest) -> Answer:
    """Fill a hole and answer as a chat does."""
    wanted = _drawn(asked, asked.max_tokens, asked.stop)
    if asked.random_seed is not None:
        wanted = replace(wanted, seed=asked.random_seed)
    ask = fill(Hole(asked.prompt, asked.suffix or ""), wanted, call.settings)
    form = ChatForm(await call.service.model(), asked.model or call.settings.name)
    return Answer([ask], form, bool(asked.stream), call.client)


async def chat(call: Call, asked: shapes.ChatRequest) -> Answer:
    """Answer the last message."""
    most = _most(asked)
    if most is None and asked.n_predict is not None:
        most = asked.n_predict or 1  # 0 is for reading the prompt ahead
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    wanted = _drawn(asked, most, asked.stop, logprobs)
    turns = [message.turn() for message in asked.messages]
    form = ChatForm(
        await call.service.model(),
        asked.model or call.settings.name,
        usage=_told_usage(asked.stream_options),
        logprobs=logprobs is not None,
    )
    asks = [reply(turns, wanted, call.settings, index) for index in range(asked.n or 1)]
    return Answer(asks, form, bool(asked.stream))


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
    sizes = about.bundle.sizes
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
            "size": about.bytes,
            "variant": about.variant,
            "device": about.device,
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
        "Fill a hole, in Mistral's form",
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
