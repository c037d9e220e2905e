"""Ollama's interface."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from ....errors import ContextError
from ....text.cursor import Cursor
from ...service.requests import GenerationOptions, fill, go_on, reply
from ...service.run import Piece, Run
from ...service.service import UNSAID, Ask
from ...web.chat import require_chat
from ...web.embeddings import no_embeddings
from ...web.errors import HttpError
from ...web.exchange import Call, Dialect, Endpoint, Job
from ...web.framing import Json, JsonLines
from ...web.shapes import finish_reason
from . import shapes as shapes
from .model import running, show, tags, version

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,3})?")
_PART = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(ns|us|ms|s|m|h)")
_DURATION = re.compile(f"-?(?:{_PART.pattern}){{1,6}}")
_FOR_EVER_S = 3e9  # a century


def _error(_status: int, _kind: str, message: str) -> Json:
    return {"error": message}


def _too_long(error: ContextError) -> Json:
    return {
        "error": f"the input length exceeds the context length: {error.prompt_tokens} tokens of "
        f"{error.context_tokens}, new ones included; shorten the prompt"
    }


DIALECT = Dialect("ollama", _error, _too_long)


@dataclass
class OllamaReply(JsonLines):
    """Texts, or with `chat` messages, in lines."""

    name: str
    chat: bool
    opened_s: float = 0.0  # how long the model took to open for this request

    def piece(self, run: Run, piece: Piece) -> Iterator[Json]:
        """Return what is new; the end says how it went."""
        if not piece.ended:
            yield self._with(piece.text, done=False).as_json()

    def end(self, run: Run) -> Iterator[Json]:
        """Return the counts."""
        yield self._counted(run, "").as_json()

    def whole(self, run: Run) -> Json:
        """Return text and counts."""
        return self._counted(run, run.streams[0].text).as_json()

    def _counted(self, run: Run, text: str) -> shapes.Counts:
        usage = run.streams[0].usage
        begun, first, ended = run.times(0)
        response = self._with(text, done=True)
        response.done_reason = finish_reason(run, 0)
        response.total_duration = _nanoseconds(ended - run.arrival_s + self.opened_s)
        response.load_duration = _nanoseconds(self.opened_s)
        response.prompt_eval_count = usage.prompt
        response.prompt_eval_duration = _nanoseconds(first - begun)
        response.eval_count = usage.new
        response.eval_duration = _nanoseconds(ended - first)
        return response

    def _with(self, text: str, *, done: bool) -> shapes.GenerateResponse | shapes.ChatResponse:
        if not self.chat:
            return shapes.GenerateResponse(
                model=self.name, created_at=_now(), response=text, done=done
            )
        message = shapes.Message(role="assistant", content=text)
        return shapes.ChatResponse(model=self.name, created_at=_now(), message=message, done=done)


def _nanoseconds(seconds: float) -> int:
    return int(1e9 * seconds)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def seconds(keep_alive: str | float) -> float | None:
    """Return how long an idle model stays in memory; None for ever, which is any negative time.

    Raises:
        HttpError: when it is no number of seconds and no duration such as 5m or 1h30m.

    """
    text = str(keep_alive).strip()
    if _NUMBER.fullmatch(text):
        keep_s = float(text)
    elif _DURATION.fullmatch(text):
        parts = _PART.findall(text)
        keep_s = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
        keep_s = -keep_s if text.startswith("-") else keep_s
    else:
        raise HttpError(400, f"keep_alive {text!r:.40}; expected seconds, or a time such as 5m")
    return None if keep_s < 0 or keep_s > _FOR_EVER_S else keep_s


def _options(body: shapes.Common) -> GenerationOptions:
    if body.format:
        raise HttpError(400, "format is not supported: this model writes plain text")
    return GenerationOptions.from_request(
        body.options or shapes.Options(),
        max_tokens="num_predict",
        repetition_penalty="repeat_penalty",
    )


async def generate(call: Call, body: shapes.GenerateRequest) -> Job | Response:
    """Fill a hole, or continue a prompt; with neither, load the model or let it go."""
    options, settings = _options(body), call.settings
    if not body.prompt and not body.suffix:
        return await _load_or_release(call, body, chat=False)
    if _is_hole(body):
        ask = fill(Cursor(body.prompt, body.suffix or ""), options, settings)
    elif body.system and not body.raw:
        await require_chat(call)
        turns = [
            {"role": "system", "content": body.system},
            {"role": "user", "content": body.prompt},
        ]
        ask = reply(turns, options, settings)
    else:
        ask = go_on(body.prompt, options, settings)
    return await _job(call, body, ask, chat=False)


def _is_hole(body: shapes.GenerateRequest) -> bool:
    """Whether there is a suffix; an empty one is a hole unless there is `raw` or `system`.

    Older clients send an empty one with everything.
    """
    return bool(body.suffix) or (body.suffix is not None and not (body.raw or body.system))


async def chat(call: Call, body: shapes.ChatRequest) -> Job | Response:
    """Answer the last message; with none, load the model or let it go."""
    options = _options(body)
    if not body.messages:
        return await _load_or_release(call, body, chat=True)
    await require_chat(call)
    turns = [{"role": one.role, "content": one.content} for one in body.messages]
    return await _job(call, body, reply(turns, options, call.settings), chat=True)


async def _job(call: Call, body: shapes.Common, ask: Ask, *, chat: bool) -> Job:
    keep_s = _keep_s(body)
    opened_s = await _open(call)
    answer = OllamaReply(body.model or call.settings.name, chat, opened_s)
    client = "" if chat else call.client
    return Job([ask], answer, body.stream is not False, client, keep_s)


def _keep_s(body: shapes.Common) -> float | None:
    """Return how long a client wants the model in memory after its request."""
    return UNSAID if body.keep_alive is None else seconds(body.keep_alive)


async def _open(call: Call) -> float:
    loaded = call.service.loaded
    await call.service.model()
    return 0.0 if loaded else call.service.opened_s


async def _load_or_release(call: Call, body: shapes.Common, *, chat: bool) -> Response:
    keep_s = _keep_s(body)
    if keep_s == 0:
        await call.service.release()
        reason = "unload"
    else:
        await _open(call)
        if keep_s != UNSAID:
            call.service.keep_s = keep_s
        reason = "load"
    content: dict[str, Any] = {
        "model": body.model or call.settings.name,
        "created_at": _now(),
        "done": True,
        "done_reason": reason,
    }
    content |= {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    return JSONResponse(content)


def endpoints() -> Iterable[Endpoint]:
    """Return Ollama's paths."""
    yield Endpoint(
        "POST",
        "/api/generate",
        DIALECT,
        generate,
        "Fill a hole (with a suffix) or continue a prompt",
        shapes.GenerateRequest,
        shapes.GenerateResponse,
    )
    yield Endpoint(
        "POST",
        "/api/chat",
        DIALECT,
        chat,
        "Answer the last message",
        shapes.ChatRequest,
        shapes.ChatResponse,
    )
    yield Endpoint(
        "POST",
        "/api/show",
        DIALECT,
        show,
        "What the model is",
        shapes.ShowRequest,
        shapes.ShowResponse,
    )
    for path in ("/api/embed", "/api/embeddings"):
        yield Endpoint("POST", path, DIALECT, no_embeddings, "Not supported")
    for path, handle, summary, response in (
        ("/api/tags", tags, "List the model", shapes.TagsResponse),
        ("/api/ps", running, "List the model if it is in memory", shapes.TagsResponse),
        ("/api/version", version, "The version", shapes.VersionResponse),
    ):
        yield Endpoint("GET", path, DIALECT, handle, summary, None, response)
