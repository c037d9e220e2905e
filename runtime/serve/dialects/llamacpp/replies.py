"""How llama.cpp's server puts texts: with all their figures, or the fields that a client names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ....model import Model
from ...service.requests import GenerationOptions
from ...service.run import Piece, Run
from ...web.framing import Json, ServerSentEvents
from ...web.logprobs import chat_logprobs
from . import shapes as shapes

_STOP_TYPES = {"length": "limit", "time": "limit", "cancelled": "none"}


@dataclass
class LlamaReply(ServerSentEvents):
    """Texts with timings."""

    model: Model
    name: str
    options: GenerationOptions
    fields: list[str] | None = None  # of the answer; all when None
    probs: bool = False
    _sent: dict[int, int] = field(default_factory=dict)  # tokens, by stream

    def piece(self, run: Run, piece: Piece) -> Iterator[Json]:
        """Return what is new, and at the end of a text all its figures."""
        if piece.ended:
            yield self._chosen(self._all(run, piece.index, content=""))
            return
        start = self._sent.get(piece.index, 0)
        self._sent[piece.index] = piece.tokens
        new = run.streams[piece.index].ids[start : piece.tokens]
        part = shapes.CompletionResponse(
            index=piece.index, content=piece.text, tokens=new, stop=False
        )
        yield self._chosen(part)

    def end(self, run: Run) -> Iterable[Json]:
        """Return nothing more."""
        return ()

    def whole(self, run: Run) -> Json:
        """Return the one text, or a list of those that differ."""
        texts = [stream.text for stream in run.streams]
        first = [index for index, text in enumerate(texts) if text not in texts[:index]]
        contents = [self._chosen(self._all(run, index, texts[index])) for index in first]
        return contents[0] if len(run.streams) == 1 else contents

    def _all(self, run: Run, index: int, content: str) -> shapes.CompletionResponse:
        stream = run.streams[index]
        usage, finish = stream.usage, run.finish(index)
        word = stream.cut and finish == "stop"
        response = shapes.CompletionResponse(
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
            logprobs = chat_logprobs(self.model.tokens, stream, 0, None)
            response.completion_probabilities = logprobs["content"]
        return response

    def _settings(self, index: int) -> dict[str, Any]:
        sampling = self.options.sampling(self.model, index)
        return {
            "n_ctx": self.model.context_tokens,
            "n_predict": self.options.max_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "seed": sampling.seed,
            "stop": list(self.options.stops()),
        }

    def _chosen(self, response: shapes.CompletionResponse) -> Json:
        whole = response.as_json()
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
    evaluated = usage.prompt - usage.cached
    begun, first, ended = run.times(index)
    prefill_ms, decode_ms = 1000 * (first - begun), 1000 * (ended - first)
    return shapes.Timings(
        cache_n=usage.cached,
        prompt_n=evaluated,
        prompt_ms=prefill_ms,
        prompt_per_token_ms=prefill_ms / max(1, evaluated),
        prompt_per_second=1000 * evaluated / max(1e-3, prefill_ms),
        predicted_n=usage.new,
        predicted_ms=decode_ms,
        predicted_per_token_ms=decode_ms / max(1, usage.new),
        predicted_per_second=1000 * usage.new / max(1e-3, decode_ms),
        draft_n=usage.drafted,
        draft_n_accepted=usage.accepted,
    )
