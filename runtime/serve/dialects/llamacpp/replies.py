"""How llama.cpp's server puts texts: with all that is known of them, or the fields asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ....model import Model
from ...service.requests import Wanted
from ...service.run import Piece, Run
from ...web.framing import Json, ServerSentEvents
from ...web.logprobs import chat_logprobs
from . import shapes as shapes

_STOP_TYPES = {"length": "limit", "time": "limit", "cancelled": "none"}


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
