"""OpenAI's responses interface, of which text is read and written, and nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NoReturn

from ....engine.cancel import CancelToken
from ....errors import ContextError
from ....model import Model
from ....stream import Stream
from ....text.prompts import Message
from ...service.requests import Wanted, reply
from ...service.service import Ask
from ...web.errors import HttpError
from ...web.exchange import Answer, Call, Endpoint
from . import responses_shapes as shapes
from .endpoints import DIALECT
from .replies import new_id
from .responses_replies import ResponseForm


async def responses(call: Call, asked: shapes.ResponsesRequest) -> Answer:
    """Answer the last message of the input."""
    wanted = Wanted(
        max_tokens=asked.max_output_tokens, temperature=asked.temperature, top_p=asked.top_p
    )
    turns = asked.turns()
    ask = reply(turns, wanted, call.settings)
    if asked.truncation == "disabled":
        ask = _uncut(ask, turns)
    sampling = wanted.sampling(await call.service.model())
    known = shapes.ResponsesResponse(
        id=new_id("resp_"),
        created_at=int(time.time()),
        status="in_progress",
        model=asked.model or call.settings.name,
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        metadata=asked.metadata or {},
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        truncation=asked.truncation or "auto",
        user=asked.user,
    )
    return Answer([ask], ResponseForm(known), bool(asked.stream))


def _uncut(ask: Ask, turns: Sequence[Message]) -> Ask:
    """Return what asks the same, but refuses where old exchanges would be dropped."""

    def asked(model: Model, cancel: CancelToken) -> Stream:
        stream = ask(model, cancel)
        ids = model.layouts.chat_ids(turns, model.tokens.encode)
        if len(ids) != len(stream.prompt_ids):
            raise ContextError(len(ids), model.context_tokens)
        return stream

    return asked


async def not_kept(call: Call, _: None) -> NoReturn:
    """Say that there is no such response.

    Raises:
        HttpError: always.

    """
    name = call.request.path_params["name"]
    raise HttpError(404, f"no response {name!r:.60}: none is kept; send the whole conversation")


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
        yield Endpoint(method, path, DIALECT, not_kept, "Not found: no response is kept")
