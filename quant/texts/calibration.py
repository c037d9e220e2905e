"""Calibration texts: prompts in the model's own format, cut from source files.

What a quantized model must keep is what it does with prompts for holes and questions, so these
are what its activations are watched on. Four of five texts are holes, in the orders of parts that
the model was trained with in turn; one is a conversation, where it was trained on those: about code
that goes on, and about everything else, in turn.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...runtime.text.prompts import Layouts
from ...runtime.text.tokens import Tokens
from ...runtime.text.trim import trim
from .conversations import Exchange, conversations
from .holes import KINDS, Hole, cut_holes
from .shipped import CALIBRATION
from .sources import Source

Ids = npt.NDArray[np.int64]

TEXTS, TEXT_TOKENS = 32, 512  # 16k tokens: what the full size needs, too
CHAT = "chat"
QUESTION_LINES = 12


def default_sources() -> list[Source]:
    """Return what is calibrated on when nothing is named: files of many languages, and our own.

    Raises:
        EvalError: when they are not the files that were shipped.

    """
    return CALIBRATION.read()


def calibration_texts(
    sources: Sequence[Source],
    tokens: Tokens,
    layouts: Layouts,
    *,
    texts: int = TEXTS,
    text_tokens: int = TEXT_TOKENS,
    seed: int = 0,
    exchanges: Sequence[Exchange] = (),
) -> list[Ids]:
    """Return texts of at most `text_tokens` ids; the same sources give the same texts.

    Every second conversation is one of `exchanges`, where there are any.

    Raises:
        EvalError: when the sources have no place for a hole.

    """
    holes = cut_holes(sources, list(KINDS), max(texts, len(KINDS)), seed)
    cut = []
    forms = _forms(layouts)
    talk = conversations(exchanges, tokens, layouts, text_tokens)
    for number in range(texts):
        hole, form = holes[number % len(holes)], forms[number % len(forms)]
        if form == CHAT and exchanges and number // len(forms) % 2:
            ids = next(talk)
        elif form == CHAT:
            ids = _conversation(hole, tokens, layouts)
        else:
            ids = filled(hole, form, tokens, layouts, text_tokens)
        cut.append(np.array(ids[:text_tokens], np.int64))
    return cut


def _forms(layouts: Layouts) -> tuple[str, ...]:
    """Return what the texts are, in turn: orders of a hole's parts, and a conversation."""
    orders = tuple(itertools.islice(itertools.cycle(layouts.fim), 4))
    return (*orders, CHAT) if layouts.chat else orders


def fingerprint(texts: Sequence[Ids]) -> str:
    """Return the sha256 of calibration texts."""
    digest = hashlib.sha256()
    for ids in texts:
        digest.update(np.array([len(ids), *ids], "<i8").tobytes())
    return digest.hexdigest()


def filled(hole: Hole, order: str, tokens: Tokens, layouts: Layouts, text_tokens: int) -> list[int]:
    """Return the prompt for a hole, what fills it, and the end: at most `text_tokens` ids.

    Only a middle that leaves no room for the end is cut off by the caller.
    """
    middle = tokens.encode(hole.middle)
    room = text_tokens - len(middle) - layouts.fim_overhead(order) - 1
    prefix, suffix = trim(
        hole.prefix, hole.suffix, room, tokens.encode, before=layouts.before_prefix
    )
    return [*layouts.fim_ids(order, prefix, suffix), *middle, layouts.end_id]


def _conversation(hole: Hole, tokens: Tokens, layouts: Layouts) -> list[int]:
    """Return a question for the code that follows some lines, and the lines that do."""
    before = "\n".join(hole.prefix.split("\n")[-QUESTION_LINES:])
    question = f"Continue this code:\n{before}"
    prompt = layouts.chat_ids([{"role": "user", "content": question}], tokens.encode)
    after = "\n".join((hole.middle + hole.suffix).split("\n")[: 2 * QUESTION_LINES])
    return [*prompt, *layouts.answered(after, tokens.encode)]
