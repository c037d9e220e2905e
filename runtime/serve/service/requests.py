"""From what any dialect says to what the model is to generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from ...engine.cancel import CancelToken
from ...engine.sampling import Sampling
from ...model import NO_LIMITS, Model
from ...stream import Stream
from ...text.cursor import Cursor
from ...text.limits import Limits
from ...text.messages import Message
from .service import Ask
from .settings import Settings

_SEEDS = 2**63
_LEAST_TOP_P = 1e-9  # clients send 0 for the likeliest alone


@dataclass(frozen=True)
class GenerationOptions:
    """How a text is to be generated; None takes the model's default.

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

    @classmethod
    def from_request(cls, request: object, **aliases: str) -> GenerationOptions:
        """Return the options that a request has; `aliases` are its dialect's own names of them.

        Its fields must have our types. One that the dialect does not have is None.
        """
        values = {name: getattr(request, alias) for name, alias in aliases.items()}
        same = [field.name for field in fields(cls) if field.name not in aliases]
        return cls(**values, **{name: getattr(request, name, None) for name in same})

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
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or ()
        return tuple(filter(None, stops))

    def new_tokens(self, settings: Settings, most: int, least: int = 1) -> int | None:
        """Return how many new tokens there may be, of `most` that there is room for."""
        if self.max_tokens is None:
            return None
        limit = max(1, min(settings.max_tokens, most))
        return limit if self.max_tokens < 0 else max(least, min(self.max_tokens, limit))


def fill(
    cursor: Cursor,
    options: GenerationOptions,
    settings: Settings,
    index: int = 0,
    limits: Limits = NO_LIMITS,
) -> Ask:
    """Return what asks for a hole to be filled, for the alternative of that number.

    Tokens and stop strings of `limits` are those of the options.
    """

    def ask(model: Model, cancel: CancelToken) -> Stream:
        new = options.new_tokens(settings, model.context_tokens // 2)
        return model.complete_at(
            cursor,
            replace(limits, max_tokens=new, stop=options.stops()),
            top_logprobs=options.top_logprobs,
            sampling=options.sampling(model, index),
            cancel=cancel,
        )

    return ask


def go_on(
    prompt: str | Sequence[int],
    options: GenerationOptions,
    settings: Settings,
    index: int = 0,
    *,
    score_prompt: bool = False,
) -> Ask:
    """Return what asks for a prompt to be continued as it is."""

    def ask(model: Model, cancel: CancelToken) -> Stream:
        return model.generate(
            prompt,
            special=settings.parse_special,
            max_tokens=options.new_tokens(settings, model.context_tokens - 1, least=0),
            stop=options.stops(),
            top_logprobs=options.top_logprobs,
            score_prompt=score_prompt,
            sampling=options.sampling(model, index),
            cancel=cancel,
        )

    return ask


def reply(
    messages: Sequence[Message], options: GenerationOptions, settings: Settings, index: int = 0
) -> Ask:
    """Return what asks for an answer to the last message."""

    def ask(model: Model, cancel: CancelToken) -> Stream:
        return model.chat(
            messages,
            max_tokens=options.new_tokens(settings, model.context_tokens // 2),
            stop=options.stops(),
            top_logprobs=options.top_logprobs,
            sampling=options.sampling(model, index),
            cancel=cancel,
        )

    return ask
