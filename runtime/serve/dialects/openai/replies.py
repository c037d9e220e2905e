"""How OpenAI's interfaces put texts and answers, whole or in pieces."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ....model import Model
from ...service.run import Piece, Run
from ...web.framing import Json, ServerSentEvents
from ...web.logprobs import chat_logprobs
from ...web.shapes import finish_reason
from . import shapes as shapes
from .logprobs import completion_logprobs


def usage_of(run: Run) -> shapes.UsageShape:
    """Return token counts; alternatives of one prompt count it once."""
    usages = [stream.usage for stream in run.streams]
    prompts = {tuple(stream.prompt_ids): stream.usage for stream in reversed(run.streams)}
    prompt, new = sum(u.prompt for u in prompts.values()), sum(u.new for u in usages)
    cached = shapes.CachedTokens(cached_tokens=sum(u.cached for u in prompts.values()))
    return shapes.UsageShape(
        prompt_tokens=prompt,
        completion_tokens=new,
        total_tokens=prompt + new,
        prompt_tokens_details=cached,
    )


def new_id(kind: str) -> str:
    """Return a name that nothing else has."""
    return kind + uuid.uuid4().hex


def _now() -> int:
    return int(time.time())


class _Events(ServerSentEvents):
    last = b"data: [DONE]\n\n"


@dataclass
class CompletionReply(_Events):
    """Texts of prompts."""

    model: Model
    name: str
    usage: bool = False  # in a stream
    logprobs: bool = False
    echoed: Sequence[str] = ()  # the prompts, where they stand before the answers
    scored: bool = False  # whether what was echoed has log-probabilities too
    id: str = field(default_factory=lambda: new_id("cmpl-"))
    created: int = field(default_factory=_now)
    _sent: dict[int, int] = field(default_factory=dict)  # tokens, by stream

    def piece(self, run: Run, piece: Piece) -> Iterator[Json]:
        """Return one text; never an empty one without a reason, which some clients choke on."""
        text, reason = piece.text, finish_reason(run, piece.index) if piece.ended else None
        start = self._sent.get(piece.index, 0)
        if self.echoed and piece.index not in self._sent:
            text = self.echoed[piece.index] + text
        if text or reason:
            self._sent[piece.index] = piece.tokens
            yield self._with(self._choice(run, piece.index, text, reason, start, piece.tokens))

    def end(self, run: Run) -> Iterator[Json]:
        """Return the usage, if the client asks for it."""
        if self.usage:
            last = self._response([])
            last.usage = usage_of(run)
            yield last.as_json()

    def whole(self, run: Run) -> Json:
        """Return all texts."""
        texts = self.echoed or [""] * len(run.streams)
        choices = [
            self._choice(run, index, before + stream.text, finish_reason(run, index))
            for index, (before, stream) in enumerate(zip(texts, run.streams, strict=True))
        ]
        response = self._response(choices)
        response.usage = usage_of(run)
        return response.as_json()

    def _choice(
        self,
        run: Run,
        index: int,
        text: str,
        reason: str | None,
        start: int = 0,
        end: int | None = None,
    ) -> shapes.CompletionChoice:
        """Return one choice, with the log-probabilities of its new tokens from `start` to `end`."""
        logprobs = None
        if self.logprobs:
            stream = run.streams[index]
            logprobs = completion_logprobs(
                self.model.tokens,
                stream,
                start,
                end,
                echo=self.scored and start == 0,
                before=len(self.echoed[index]) if self.echoed else 0,
            )
        return shapes.CompletionChoice(
            index=index, text=text, logprobs=logprobs, finish_reason=reason
        )

    def _with(self, choice: shapes.CompletionChoice) -> Json:
        return self._response([choice]).as_json()

    def _response(self, choices: list[shapes.CompletionChoice]) -> shapes.CompletionResponse:
        return shapes.CompletionResponse(
            id=self.id,
            object="text_completion",
            created=self.created,
            model=self.name,
            choices=choices,
        )


@dataclass
class ChatReply(_Events):
    """Messages that answer. The first delta of each carries the role, and text with it."""

    model: Model
    name: str
    usage: bool = False
    logprobs: bool = False
    id: str = field(default_factory=lambda: new_id("chatcmpl-"))
    created: int = field(default_factory=_now)
    _sent: dict[int, int] = field(default_factory=dict)

    def piece(self, run: Run, piece: Piece) -> Iterator[Json]:
        """Return what is new; an empty delta has a reason, else some clients choke on it."""
        reason = finish_reason(run, piece.index) if piece.ended else None
        delta, start = shapes.ChatAnswer(), self._sent.get(piece.index)
        if start is None:
            delta.role = "assistant"
            delta.content = piece.text
        elif piece.text:
            delta.content = piece.text
        self._sent[piece.index] = piece.tokens
        choice = shapes.ChatChoice(
            index=piece.index,
            delta=delta,
            logprobs=self._logprobs(run, piece.index, start or 0, piece.tokens),
            finish_reason=reason,
        )
        yield self._response([choice], "chat.completion.chunk").as_json()

    def end(self, run: Run) -> Iterator[Json]:
        """Return the usage, if the client asks for it."""
        if self.usage:
            last = self._response([], "chat.completion.chunk")
            last.usage = usage_of(run)
            yield last.as_json()

    def whole(self, run: Run) -> Json:
        """Return all answers."""
        choices = [
            shapes.ChatChoice(
                index=index,
                message=shapes.ChatAnswer(role="assistant", content=stream.text),
                logprobs=self._logprobs(run, index),
                finish_reason=finish_reason(run, index),
            )
            for index, stream in enumerate(run.streams)
        ]
        response = self._response(choices, "chat.completion")
        response.usage = usage_of(run)
        return response.as_json()

    def _logprobs(self, run: Run, index: int, start: int = 0, end: int | None = None) -> Json:
        if not self.logprobs:
            return None
        return chat_logprobs(self.model.tokens, run.streams[index], start, end)

    def _response(self, choices: list[shapes.ChatChoice], kind: Json) -> shapes.ChatResponse:
        return shapes.ChatResponse(
            id=self.id, object=kind, created=self.created, model=self.name, choices=choices
        )
