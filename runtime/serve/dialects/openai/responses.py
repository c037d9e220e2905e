"""OpenAI's responses interface, for text alone; nothing is stored."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NoReturn

from ....engine.cancel import CancelToken
from ....errors import ContextError
from ....model import Model
from ....stream import Stream
from ....text.messages import Message
from ...service.requests import GenerationOptions, reply
from ...service.service import Ask
from ...web.chat import require_chat
from ...web.errors import HttpError
from ...web.exchange import Call, Endpoint, Job
from . import responses_shapes as shapes
from .endpoints import DIALECT
from .replies import new_id
from .responses_replies import ResponsesReply


async def responses(call: Call, body: shapes.ResponsesRequest) -> Job:
    """Answer the last message of the input."""
    await require_chat(call)
    options = GenerationOptions.from_request(body, max_tokens="max_output_tokens")
    turns = body.turns()
    ask = reply(turns, options, call.settings)
    if body.truncation == "disabled":
        ask = _uncut(ask, turns)
    sampling = options.sampling(await call.service.model())
    begun = shapes.ResponsesResponse(
        id=new_id("resp_"),
        created_at=int(time.time()),
        status="in_progress",
        model=body.model or call.settings.name,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        metadata=body.metadata or {},
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        truncation=body.truncation or "auto",
        user=body.user,
    )
    return Job([ask], ResponsesReply(begun), bool(body.stream))


def _uncut(ask: Ask, turns: Sequence[Message]) -> Ask:
    """Return what asks the same, but refuses where old exchanges would be dropped."""

    def uncut(model: Model, cancel: CancelToken) -> Stream:
        stream = ask(model, cancel)
        ids = model.layouts.chat_ids(turns, model.tokens.encode)
        if len(ids) != len(stream.prompt_ids):
            raise ContextError(len(ids), model.context_tokens)
        return stream

    return uncut


async def not_stored(call: Call, _: None) -> NoReturn:
    """Say that there is no such response.

    Raises:
        HttpError: always.

    """
    name = call.request.path_params["name"]
    raise HttpError(404, f"no response {name!r:.60}: none is stored; send the whole conversation")


def endpoints() -> Iterable[Endpoint]:
    """Return the paths."""
    yield Endpoint(
        "POST",
        "/v1/responses",
        DIALECT,
        responses,
        "Answer the last message, as events when streamed",
        shapes.ResponsesRequest,
        shapes.ResponsesResponse,
    )
    for method, path in (
        ("GET", "/v1/responses/{name}"),
        ("DELETE", "/v1/responses/{name}"),
        ("GET", "/v1/responses/{name}/input_items"),
        ("POST", "/v1/responses/{name}/cancel"),
    ):
        yield Endpoint(method, path, DIALECT, not_stored, "Not found: no response is stored")
