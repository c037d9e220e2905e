"""Questions of all kinds, and answers: what a model that talks is calibrated on beside code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...runtime.text.prompts import Layouts
from ...runtime.text.tokens import Tokens
from .shipped import CONVERSATIONS

_BETWEEN = "\n\n---\n\n"  # a question and its answer


@dataclass(frozen=True)
class Exchange:
    """A question, and an answer."""

    question: str
    answer: str


def default_exchanges() -> list[Exchange]:
    """Return what is shipped.

    Raises:
        EvalError: when the files are not those that were shipped.

    """
    parts = (file.text.strip().split(_BETWEEN) for file in CONVERSATIONS.read())
    return [Exchange(question, answer) for question, answer in parts]


def conversations(
    exchanges: Sequence[Exchange], tokens: Tokens, layouts: Layouts, most: int
) -> Iterator[list[int]]:
    """Yield conversations without end, each of as many exchanges as fit into `most` ids.

    An exchange that is longer than that makes a conversation of its own, and the caller cuts it.
    """
    number = 0
    while True:
        turns: list[dict[str, str]] = []
        ids: list[int] = []
        while True:
            exchange = exchanges[number % len(exchanges)]
            messages = [*turns, {"role": "user", "content": exchange.question}]
            prompt = layouts.chat_ids(messages, tokens.encode)
            longer = [*prompt, *layouts.answered(exchange.answer, tokens.encode)]
            if ids and len(longer) > most:
                break
            ids, number = longer, number + 1
            turns = [*messages, {"role": "assistant", "content": exchange.answer}]
            if len(ids) >= most:
                break
        yield ids
