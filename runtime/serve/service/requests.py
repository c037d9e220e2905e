"""From what any dialect says to what is asked of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...engine.cancel import CancelToken
from ...engine.sampling import Sampling
from ...model import Model
from ...stream import Stream
from ...text.completion import OpenFile
from ...text.endings import Endings
from ...text.prompts import Message
from .service import Ask
from .settings import Settings

_SEEDS = 2**63
_LEAST_TOP_P = 1e-9  # clients send 0 for the likeliest alone


@dataclass(frozen=True)
class Wanted:
    """How an answer is to be written; None takes the model's default.

    Clients turn a filter off by values that are none of ours, a top_k or a seed of -1, and ask for
    all that there is room for by a negative `max_tokens`.
    """

    max_tokens: int | None = None
    stop: str | Sequence[str] | None = None
    top_logprobs: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None

    def sampling(self, model: Model, index: int = 0) -> Sampling:
        """Return how the alternative of that number is drawn; a seed gives each another one.

        Raises:
            OptionError: when a value is outside its range.

        """
        sampling = model.sampling_with(
            temperature=self.temperature,
            top_k=None if self.top_k is None else max(0, self.top_k),
            top_p=None if self.top_p is None else max(_LEAST_TOP_P, self.top_p),
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )
        if self.seed is None or self.seed == -1:
            return sampling
        return replace(sampling, seed=(self.seed + index) % _SEEDS)

    def stops(self) -> tuple[str, ...]:
        """Return the stop strings; clients send empty ones and mean none."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or ()
        return tuple(filter(None, given))

    def new_tokens(self, settings: Settings, most: int, least: int = 1) -> int | None:
        """Return how many new tokens there may be, of `most` that there is room for."""
        if self.max_tokens is None:
            return None
        limit = max(1, min(settings.max_tokens, most))
        return limit if self.max_tokens < 0 else max(least, min(self.max_tokens, limit))


@dataclass(frozen=True)
class Hole:
    """A place in a file, and how it is to be filled."""

    prefix: str
    suffix: str
    extra: tuple[OpenFile, ...] = ()
    filename: str = ""
    endings: Endings | None = None
    prompt_ms: float | None = None


def fill(hole: Hole, wanted: Wanted, settings: Settings, index: int = 0) -> Ask:
    """Return what asks for a hole to be filled, for the alternative of that number."""

    def ask(model: Model, cancel: CancelToken) -> Stream:
        return model.complete(
            hole.prefix,
            hole.suffix,
            extra=hole.extra,
            filename=hole.filename,
            endings=hole.endings,
            prompt_ms=hole.prompt_ms,
            max_tokens=wanted.new_tokens(settings, model.context_tokens // 2),
            stop=wanted.stops(),
            top_logprobs=wanted.top_logprobs,
            sampling=wanted.sampling(model, index),
            cancel=cancel,
        )

    return ask


def go_on(
    prompt: str | Sequence[int],
    wanted: Wanted,
    settings: Settings,
    index: int = 0,
    *,
    special: bool = True,
    score_prompt: bool = False,
) -> Ask:
    """Return what asks for a prompt to be continued as it is."""

    def ask(model: Model, cancel: CancelToken) -> Stream:
        return model.generate(
            prompt,
            special=special and settings.parse_special,
            max_tokens=wanted.new_tokens(settings, model.context_tokens - 1, least=0),
            stop=wanted.stops(),
            top_logprobs=wanted.top_logprobs,
            score_prompt=score_prompt,
            sampling=wanted.sampling(model, index),
            cancel=cancel,
        )

    return ask


def reply(messages: Sequence[Message], wanted: Wanted, settings: Settings, index: int = 0) -> Ask:
    """Return what asks for an answer to the last message."""

    def ask(model: Model, cancel: CancelToken) -> Stream:
        return model.chat(
            messages,
            max_tokens=wanted.new_tokens(settings, model.context_tokens // 2),
            stop=wanted.stops(),
            top_logprobs=wanted.top_logprobs,
            sampling=wanted.sampling(model, index),
            cancel=cancel,
        )

    return ask
