"""llama.cpp's own interface: /infill, as its editor plugins send it, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from .. import endings as rules
from ..model import Model
from ..prompts import clean_messages
from . import llamacpp_shapes as shapes
from .asking import Hole, Wanted, fill, go_on
from .http import Answer, Call, Dialect, Endpoint, HttpError, Json, ServerSentEvents
from .openai_logprobs import chat_logprobs
from .run import Piece, Run

_STOP_TYPES = {"length": "limit", "time": "limit", "cancelled": "none"}
# Without a filter named in `samplers`, the value that turns it off. What "infill" does there, to
# end early and drop unlikely tokens, the model's own default temperature does here.
_OFF: dict[str, float] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}


def _error(status: int, kind: str, message: str) -> Json:
    return {"error": {"code": status, "message": message, "type": kind}}


DIALECT = Dialect("llama.cpp", _error)


@dataclass
class LlamaForm(ServerSentEvents):
    """Texts with timings."""

    model: Model
    name: str
    wanted: Wanted
    fields: list[str] | None = None  # of the answer; all when None
    probs: bool = False
    _told: dict[int, int] = field(default_factory=dict)

    def piece(self, run: Run, piece: Piece) -> Iterator[Json]:
        """Return what is new, and at the end of a text all that is known of it."""
        if piece.ended:
            yield self._chosen(self._all(run, piece.index, content=""))
            return
        start = self._told.get(piece.index, 0)
        self._told[piece.index] = piece.tokens
        new = run.streams[piece.index].ids[start : piece.tokens]
        found = shapes.CompletionResponse(
            index=piece.index, content=piece.text, tokens=new, stop=False
        )
        yield self._chosen(found)

    def end(self, run: Run) -> Iterable[Json]:
        """Return nothing more."""
        return ()

    def whole(self, run: Run) -> Json:
        """Return the one text, or a list of those that differ."""
        texts = [stream.text for stream in run.streams]
        first = [index for index, text in enumerate(texts) if text not in texts[:index]]
        found = [self._chosen(self._all(run, index, texts[index])) for index in first]
        return found[0] if len(run.streams) == 1 else found

    def _all(self, run: Run, index: int, content: str) -> shapes.CompletionResponse:
        stream = run.streams[index]
        usage, finish = stream.usage, run.finish(index)
        word = stream.cut and finish == "stop"
        found = shapes.CompletionResponse(
            index=index,
            content=content,
            tokens=stream.ids,
            id_slot=0,
            stop=True,
            model=self.name,
            tokens_predicted=usage.new,
            tokens_evaluated=usage.prompt,
            generation_settings=self._settings(index),
            prompt=self.model.tokens.decode(stream.prompt_ids),
            has_new_line="\n" in stream.text,
            truncated=False,
            stop_type="word" if word else _STOP_TYPES.get(finish, "eos"),
            stopping_word=stream.stop_text,
            tokens_cached=usage.prompt + usage.new,
            timings=_timings(run, index),
        )
        if self.probs:
            known = chat_logprobs(self.model.tokens, stream, 0, None)
            found.completion_probabilities = known["content"]
        return found

    def _settings(self, index: int) -> dict[str, Any]:
        sampling = self.wanted.sampling(self.model, index)
        return {
            "n_ctx": self.model.context_tokens,
            "n_predict": self.wanted.max_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "seed": sampling.seed,
            "stop": list(self.wanted.stops()),
        }

    def _chosen(self, found: shapes.CompletionResponse) -> Json:
        whole = found.as_json()
        return whole if self.fields is None else chosen(whole, self.fields)


def chosen(whole: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return the named fields, flat: the path `a/b` is the key of b in a. Unknown ones are left."""
    out: dict[str, Any] = {}
    for path in fields:
        value: Any = whole
        for key in path.split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            out[path] = value
    return out


def _timings(run: Run, index: int) -> shapes.Timings:
    usage = run.streams[index].usage
    read = usage.prompt - usage.cached
    begun, first, ended = run.times(index)
    reading, writing = 1000 * (first - begun), 1000 * (ended - first)
    return shapes.Timings(
        cache_n=usage.cached,
        prompt_n=read,
        prompt_ms=reading,
        prompt_per_token_ms=reading / max(1, read),
        prompt_per_second=1000 * read / max(1e-3, reading),
        predicted_n=usage.new,
        predicted_ms=writing,
        predicted_per_token_ms=writing / max(1, usage.new),
        predicted_per_second=1000 * usage.new / max(1e-3, writing),
        draft_n=usage.drafted,
        draft_n_accepted=usage.accepted,
    )


def _wanted(asked: shapes.Common) -> Wanted:
    if asked.grammar or asked.json_schema:
        raise HttpError(501, "grammars are not supported; leave grammar and json_schema out")
    used = asked.samplers
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
    prefix = asked.input_prefix + asked.prompt
    usage = await call.service.warm(
        lambda model, cancel: model.warm(prefix, asked.input_suffix, extra=extra, cancel=cancel)
    )
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
        encode = model.tokens.encode_special if call.settings.parse_special else model.tokens.encode
        parts = [[part] if isinstance(part, int) else encode(part) for part in prompt]
        prompt = [token for part in parts for token in part]
    number = range(asked.n_cmpl or 1)
    asks = [go_on(prompt, wanted, call.settings, index) for index in number]
    return await _answer(call, asked, asks, wanted)


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
    ids = (tokens.encode_special if special else tokens.encode)(asked.content)
    found: list[Any] = list(ids)
    if asked.with_pieces:
        found = [{"id": token, "piece": tokens.decode([token])} for token in ids]
    return JSONResponse({"tokens": found})


async def detokenize(call: Call, asked: shapes.DetokenizeRequest) -> Response:
    """Return the text of ids."""
    tokens = (await call.service.model()).tokens
    tokens.check_ids(asked.tokens)
    return JSONResponse({"content": tokens.decode(asked.tokens)})


async def apply_template(call: Call, asked: shapes.TemplateRequest) -> Response:
    """Return the text that a chat's prompt stands for."""
    model = await call.service.model()
    turns = [
        {"role": role, "content": content}
        for role, content in clean_messages([message.turn() for message in asked.messages])
    ]
    ids = model.layouts.chat_ids(turns, model.tokens.encode)
    return JSONResponse({"prompt": model.tokens.decode(ids)})


async def props(call: Call, _: None) -> Response:
    """Return what clients ask of the server's properties."""
    model = await call.service.model()
    return JSONResponse(
        {
            "default_generation_settings": {
                "n_ctx": model.context_tokens,
                "params": {
                    "temperature": model.sampling.temperature,
                    "top_k": model.sampling.top_k,
                    "top_p": model.sampling.top_p,
                },
            },
            "total_slots": call.settings.slots,
            "model_path": model.bundle.path.name,
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


async def no_embeddings(call: Call, _: None) -> Response:
    """Refuse: this model makes none."""
    raise HttpError(501, "this model makes no embeddings")


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
    for path in ("/v1/embeddings", "/embeddings", "/embedding"):
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
