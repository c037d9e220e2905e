"""Training sequences: left-to-right windows, fill-in-the-middle, chat.

A row is a window of ids with one weight for each. User text is encoded without parsing specials;
the specials are put in by id. Three layouts:

  SPM   <fim_suffix>SUF<fim_prefix>PRE<fim_middle>MID<|endoftext|>
  PSM   <fim_prefix>PRE<fim_suffix>SUF<fim_middle>MID<|endoftext|>
  chat  <empty_output>SYSTEM .. <empty_output>USER .. <empty_output>ASSISTANT ..<empty_output>
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .chat import Function, functions, question
from .corpus import Source
from .holes import cut
from .tokenizer import EMPTY_OUTPUT, END_OF_TEXT, FIM_MIDDLE, FIM_PAD, FIM_PREFIX, FIM_SUFFIX

SYSTEM = "You are a programming assistant"
# The middle is a tenth of a sequence and all of what is asked for later.
MIDDLE_WEIGHT = 3.0
PARTS = {"fim": 0.64, "text": 0.28, "chat": 0.08}
# No token of ours is longer on average over a whole window; what is too much is cut off again.
CHARACTERS_A_TOKEN = 6

Array = NDArray[np.int64]
Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Infill:
    """A hole and what stands around it, as ids."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]

    def prompt(self, *, spm: bool) -> list[int]:
        """Return the ids that ask for the middle, in one of the two orders."""
        if spm:
            return [FIM_SUFFIX, *self.suffix, FIM_PREFIX, *self.prefix, FIM_MIDDLE]
        return [FIM_PREFIX, *self.prefix, FIM_SUFFIX, *self.suffix, FIM_MIDDLE]


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the text's ids; a spelled-out special stays text."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def section_start(text: str, place: int) -> int:
    """Return the start of the last line at or before `place` that is not indented or blank."""
    start = text.rfind("\n", 0, place) + 1
    while start > 0 and text[start : start + 1] in {" ", "\t", "\n", ")", "]", "}"}:
        start = text.rfind("\n", 0, start - 1) + 1
    return start


def infill(tokenizer: Tokenizer, text: str, window: int, random: Random) -> Infill | None:
    """Cut a hole that fits `window` ids with its end token and context on both sides.

    One prefix in three begins at its function or class, as in a file that was just opened; the
    others begin anywhere.
    """
    hole = cut(text, random)
    if hole is None:
        return None
    middle = encode(tokenizer, text[hole[0] : hole[1]])
    room = window - len(middle) - 4
    if room < window // 2:
        return None
    reach = room * CHARACTERS_A_TOKEN
    first = max(0, hole[0] - reach)
    if random.random() < 1 / 3:
        first = max(first, section_start(text, hole[0]))
    prefix = encode(tokenizer, text[first : hole[0]])
    suffix = encode(tokenizer, text[hole[1] : hole[1] + reach])
    wanted = max(int(room * random.uniform(0.3, 0.8)), room - len(suffix))
    prefix = prefix[-wanted:]
    return Infill(prefix, middle, suffix[: room - len(prefix)])


def chat_prompt(tokenizer: Tokenizer, user: str) -> list[int]:
    """Return the ids of one question with the default system line, up to ASSISTANT."""
    return [
        EMPTY_OUTPUT,
        *encode(tokenizer, f"SYSTEM {SYSTEM}\n"),
        EMPTY_OUTPUT,
        *encode(tokenizer, f"USER {user}\n"),
        EMPTY_OUTPUT,
        *encode(tokenizer, "ASSISTANT"),
    ]


class Sampler:
    """Draws rows from sources; files are drawn by their length."""

    def __init__(self, tokenizer: Tokenizer, sources: Sequence[Source], random: Random) -> None:
        self.tokenizer, self.random = tokenizer, random
        self.texts = [source.text for source in sources]
        self.lengths = [len(text) for text in self.texts]
        self.functions: list[Function] = [
            function for text in self.texts for function in functions(text)
        ]

    def text(self) -> str:
        """Draw a file."""
        return self.random.choices(self.texts, self.lengths)[0]

    def infill(self, window: int) -> Infill:
        """Draw files and holes until one fits."""
        while True:
            found = infill(self.tokenizer, self.text(), window, self.random)
            if found is not None:
                return found

    def fim_row(self, window: int) -> tuple[list[int], list[float]]:
        """Return one hole, in one of the two orders."""
        hole = self.infill(window)
        prompt = hole.prompt(spm=self.random.random() < 0.5)
        answer = [*hole.middle, END_OF_TEXT]
        return prompt + answer, [1.0] * len(prompt) + [MIDDLE_WEIGHT] * len(answer)

    def text_row(self, window: int) -> tuple[list[int], list[float]]:
        """Return a file's window left to right; one that shows the file's end ends the text."""
        text = self.text()
        start = text.rfind("\n", 0, self.random.randrange(len(text))) + 1
        part = text[start : start + window * CHARACTERS_A_TOKEN]
        ids = encode(self.tokenizer, part)
        if start + len(part) == len(text):
            ids.append(END_OF_TEXT)
        return ids, [1.0] * len(ids)

    def chat_row(self, window: int) -> tuple[list[int], list[float]]:
        """Return as many whole conversations of one turn as fit the window."""
        ids: list[int] = []
        weights: list[float] = []
        while True:
            function = self.random.choice(self.functions)
            prompt = chat_prompt(self.tokenizer, question(function, self.random))
            answer = encode(self.tokenizer, f" {function.source}\n")
            if len(ids) + len(prompt) + len(answer) + 1 > window:
                if ids:
                    return ids, weights
                continue
            ids += [*prompt, *answer, EMPTY_OUTPUT]
            weights += [1.0] * len(prompt) + [MIDDLE_WEIGHT] * (len(answer) + 1)

    def batch(self, rows: int, window: int) -> tuple[Array, Weights]:
        """Return ids and weights [rows, window]; padding weighs nothing."""
        ids = np.full((rows, window), FIM_PAD, np.int64)
        weights = np.zeros((rows, window), np.float32)
        makers = {"fim": self.fim_row, "text": self.text_row, "chat": self.chat_row}
        for row in range(rows):
            part = self.random.choices(list(PARTS), list(PARTS.values()))[0]
            found, heavy = makers[part](window)
            size = min(len(found), window)
            ids[row, :size], weights[row, :size] = found[:size], heavy[:size]
        return ids, weights
