"""Ollama's interface."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from ....errors import ContextError
from ...service.requests import Hole, Wanted, fill, go_on, reply
from ...service.run import Piece, Run
from ...service.service import UNSAID, Ask
from ...web.embeddings import no_embeddings
from ...web.errors import HttpError
from ...web.exchange import Answer, Call, Dialect, Endpoint
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
class OllamaForm(JsonLines):
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
        found = self._with(text, done=True)
        found.done_reason = finish_reason(run, 0)
        found.total_duration = _nanoseconds(ended - run.asked_s + self.opened_s)
        found.load_duration = _nanoseconds(self.opened_s)
        found.prompt_eval_count = usage.prompt
        found.prompt_eval_duration = _nanoseconds(first - begun)
        found.eval_count = usage.new
        found.eval_duration = _nanoseconds(ended - first)
        return found

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
    """Return how long an idle model is kept; None for ever, which is any negative time.

    Raises:
        HttpError: when it is no number of seconds and no duration such as 5m or 1h30m.

    """
    text = str(keep_alive).strip()
    if _NUMBER.fullmatch(text):
        kept = float(text)
    elif _DURATION.fullmatch(text):
        parts = _PART.findall(text)
        kept = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
        kept = -kept if text.startswith("-") else kept
    else:
        raise HttpError(400, f"keep_alive {text!r:.40}; expected seconds, or a time such as 5m")
    return None if kept < 0 or kept > _FOR_EVER_S else kept


def _wanted(asked: shapes.Common) -> Wanted:
    if asked.format:
        raise HttpError(400, "format is not supported: this model writes plain text")
    options = asked.options or shapes.Options()
    return Wanted(
        max_tokens=options.num_predict,
        stop=options.stop,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repeat_penalty,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        seed=options.seed,
    )


async def generate(call: Call, asked: shapes.GenerateRequest) -> Answer | Response:
    """Fill a hole, or continue a prompt; with neither, load the model or let it go."""
    wanted, settings = _wanted(asked), call.settings
    if not asked.prompt and not asked.suffix:
        return await _kept(call, asked, chat=False)
    if _is_hole(asked):
        ask = fill(Hole(asked.prompt, asked.suffix or ""), wanted, settings)
    elif asked.system and not asked.raw:
        turns = [
            {"role": "system", "content": asked.system},
            {"role": "user", "content": asked.prompt},
        ]
        ask = reply(turns, wanted, settings)
    else:
        ask = go_on(asked.prompt, wanted, settings)
    return await _answer(call, asked, ask, chat=False)


def _is_hole(asked: shapes.GenerateRequest) -> bool:
    """Whether there is a suffix; an empty one is at the end of a file, where nothing else is said.

    Older clients send an empty one with everything.
    """
    return bool(asked.suffix) or (asked.suffix is not None and not (asked.raw or asked.system))


async def chat(call: Call, asked: shapes.ChatRequest) -> Answer | Response:
    """Answer the last message; with none, load the model or let it go."""
    wanted = _wanted(asked)
    if not asked.messages:
        return await _kept(call, asked, chat=True)
    turns = [{"role": one.role, "content": one.content} for one in asked.messages]
    return await _answer(call, asked, reply(turns, wanted, call.settings), chat=True)


async def _answer(call: Call, asked: shapes.Common, ask: Ask, *, chat: bool) -> Answer:
    kept_s = _kept_s(asked)
    opened_s = await _open(call)
    form = OllamaForm(asked.model or call.settings.name, chat, opened_s)
    client = "" if chat else call.client
    return Answer([ask], form, asked.stream is not False, client, kept_s)


def _kept_s(asked: shapes.Common) -> float | None:
    """Return how long a client wants the model kept after its request."""
    return UNSAID if asked.keep_alive is None else seconds(asked.keep_alive)


async def _open(call: Call) -> float:
    loaded = call.service.loaded
    await call.service.model()
    return 0.0 if loaded else call.service.opened_s


async def _kept(call: Call, asked: shapes.Common, *, chat: bool) -> Response:
    kept_s = _kept_s(asked)
    if kept_s == 0:
        await call.service.release()
        reason = "unload"
    else:
        await _open(call)
        if kept_s != UNSAID:
            call.service.kept_s = kept_s
        reason = "load"
    name = asked.model or call.settings.name
    found: dict[str, Any] = {
        "model": name,
        "created_at": _now(),
        "done": True,
        "done_reason": reason,
    }
    found |= {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    return JSONResponse(found)


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
