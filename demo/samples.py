"""Training sequences: left-to-right windows, fill-in-the-middle, chat.

A row is a window of ids with one weight for each. User text is encoded without parsing specials;
the specials are put in by id. Three layouts:

  SPM   <fim_suffix>SUF<fim_prefix>PRE<fim_middle>MID<|endoftext|>
  PSM   <fim_prefix>PRE<fim_suffix>SUF<fim_middle>MID<|endoftext|>
  chat  <empty_output>SYSTEM .. <empty_output>USER .. <empty_output>ASSISTANT ..<empty_output>
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .chat import Function, question
from .corpus import Source
from .holes import Kind, cut
from .tokenizer import EMPTY_OUTPUT, END_OF_TEXT, FIM_MIDDLE, FIM_PAD, FIM_PREFIX, FIM_SUFFIX

SYSTEM = "You are a programming assistant"
# The middle is a tenth of a sequence and all of what is asked for later. In the PSM order, where
# what it follows is far away, it is learned later than in the SPM order.
ANSWER_WEIGHT, SPM_WEIGHT, PSM_WEIGHT = 3.0, 3.0, 5.0
# The first ids of an answer are the hardest.
FIRST_IDS, FIRST_FACTOR = 6, 2.0
SPM_PART = 0.5
# No token of ours is longer on average over a whole window; what is too much is cut off again.
CHARACTERS_A_TOKEN = 7
SHORTEST_ROOM = 24
# Greedy writing falls into loops. An answer that stutters says a line or a few ids again, up to so
# many times, and then goes on: what was said again weighs nothing, so that only leaving is learned.
MOST_AGAIN, LONGEST_STUTTER_IDS = 4, 48
LONGEST_PHRASE = 8
PREFIX_PART = 0.4, 0.85

Array = NDArray[np.int64]
Weights = NDArray[np.float32]
Row = tuple[list[int], list[float]]


@dataclass(frozen=True)
class Infill:
    """A hole and what stands around it, as ids."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]

    @property
    def alone(self) -> list[int]:
        """The ids that ask for the middle without a suffix; the first id must follow something."""
        return self.prefix or [END_OF_TEXT]

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


def infill(
    tokenizer: Tokenizer, text: str, window: int, random: Random, kind: Kind | None = None
) -> Infill | None:
    """Cut a hole that fits `window` ids with its end token and context on both sides.

    One prefix in three begins at its function or class, as in a file that was just opened; the
    others begin anywhere.
    """
    hole = cut(text, random, kind)
    if hole is None or hole[1] - hole[0] > window * CHARACTERS_A_TOKEN:
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
    length = max(int(room * random.uniform(*PREFIX_PART)), room - len(suffix))
    prefix = prefix[-length:]
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


def weighted(prompt: list[int], answer: list[int], weight: float = ANSWER_WEIGHT) -> Row:
    """Return prompt and answer as a row in which an id of the answer weighs more.

    A weight depends on the place alone, so that no id is made likelier by it.
    """
    first = min(FIRST_IDS, len(answer))
    heavy = [weight * FIRST_FACTOR] * first + [weight] * (len(answer) - first)
    return prompt + answer, [1.0] * len(prompt) + heavy


def stutter(row: Row, start: int, line_ends: frozenset[int], random: Random) -> Row:
    """Say a line or a phrase of the answer again, once or more, with no weight.

    The answer begins at `start`. The last id is never said again: it ends the answer.
    """
    ids, weights = row
    breaks = [i for i in range(start, len(ids) - 1) if ids[i] in line_ends]
    if len(breaks) > 1 and random.random() < 0.6:
        place = random.randrange(len(breaks) - 1)
        first, end = breaks[place], breaks[place + 1]
    else:
        first = random.randrange(start, max(start + 1, len(ids) - 1))
        end = min(first + random.randint(1, LONGEST_PHRASE), len(ids) - 1)
    size = end - first
    again = min(random.randint(1, MOST_AGAIN), LONGEST_STUTTER_IDS // max(1, size))
    ids = [*ids[:end], *ids[first:end] * again, *ids[end:]]
    return ids, [*weights[:end], *[0.0] * (size * again), *weights[end:]]


class Sampler:
    """Draws rows; a group by its share, in it a file by its length, and questions by chance."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        sources: Sequence[Source],
        functions: Sequence[Function],
        groups: Mapping[str, float],
        several: float = 0.0,
        stutters: float = 0.0,
    ) -> None:
        """Take the shares of groups, of rows that hold several short holes, and of stutters."""
        self.tokenizer, self.functions, self.several = tokenizer, functions, several
        self.stutters = stutters
        vocabulary = range(tokenizer.get_vocab_size())
        self._line_ends = frozenset(i for i in vocabulary if "\n" in tokenizer.decode([i]))
        texts = {
            group: [source.text for source in sources if source.group == group] for group in groups
        }
        self._groups = {group: share for group, share in groups.items() if texts[group]}
        self._texts = texts
        self._lengths = {group: list(accumulate(map(len, texts[group]))) for group in groups}

    def text(self, random: Random) -> str:
        """Draw a file."""
        group = random.choices(list(self._groups), list(self._groups.values()))[0]
        return random.choices(self._texts[group], cum_weights=self._lengths[group])[0]

    def infill(self, window: int, random: Random, kind: Kind | None = None) -> Infill:
        """Draw files and holes until one fits."""
        while True:
            sample = infill(self.tokenizer, self.text(random), window, random, kind)
            if sample is not None:
                return sample

    def fim_row(self, window: int, random: Random) -> Row:
        """Return one hole, or several short ones, each in one of the two orders.

        The short ones are as in a file that has just been begun.
        """
        several = random.random() < self.several
        ids: list[int] = []
        weights: list[float] = []
        while not ids or (several and window - len(ids) >= SHORTEST_ROOM):
            room = window - len(ids)
            if several:
                room = min(room, random.randint(SHORTEST_ROOM, max(SHORTEST_ROOM, window // 2)))
            stutters = random.random() < self.stutters and room >= 3 * LONGEST_STUTTER_IDS
            hole = self.infill(room - LONGEST_STUTTER_IDS * stutters, random)
            spm = random.random() < SPM_PART
            answer = [*hole.middle, END_OF_TEXT]
            prompt = hole.prompt(spm=spm)
            more, heavy = weighted(prompt, answer, SPM_WEIGHT if spm else PSM_WEIGHT)
            if stutters:
                more, heavy = stutter((more, heavy), len(prompt), self._line_ends, random)
            ids += more
            weights += heavy
        return ids, weights

    def text_row(self, window: int, random: Random) -> Row:
        """Return a file's window left to right; one that shows the file's end ends the text."""
        text = self.text(random)
        start = text.rfind("\n", 0, random.randrange(len(text))) + 1
        part = text[start : start + window * CHARACTERS_A_TOKEN]
        ids = encode(self.tokenizer, part)
        if start + len(part) == len(text):
            ids.append(END_OF_TEXT)
        return ids, [1.0] * len(ids)

    def chat_row(self, window: int, random: Random) -> Row:
        """Return as many whole conversations of one turn as fit the window."""
        ids: list[int] = []
        weights: list[float] = []
        for _ in range(100):  # a window shorter than any answer stays empty
            function = random.choice(self.functions)
            prompt = chat_prompt(self.tokenizer, question(function, random))
            answer = [*encode(self.tokenizer, f" {function.source}\n"), EMPTY_OUTPUT]
            more, heavy = weighted(prompt, answer)
            if random.random() < self.stutters:
                more, heavy = stutter((more, heavy), len(prompt), self._line_ends, random)
            if len(ids) + len(more) <= window:
                ids += more
                weights += heavy
            elif ids:
                break
        return ids, weights

    def batch(
        self, rows: int, window: int, parts: Mapping[str, float], random: Random
    ) -> tuple[Array, Weights]:
        """Return ids and weights [rows, window]; padding weighs nothing."""
        ids = np.full((rows, window), FIM_PAD, np.int64)
        weights = np.zeros((rows, window), np.float32)
        makers = {"fim": self.fim_row, "text": self.text_row, "chat": self.chat_row}
        for row in range(rows):
            part = random.choices(list(parts), list(parts.values()))[0]
            sample, heavy = makers[part](window, random)
            size = min(len(sample), window)
            ids[row, :size], weights[row, :size] = sample[:size], heavy[:size]
        return ids, weights
