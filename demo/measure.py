"""Figures of a model on text that it was not trained on.

Knows no weights: a model is a function that says what each id costs, so that the torch model in
training and the graphs of a bundle are measured by the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .corpus import Source
from .holes import line_aligned
from .samples import Infill, Sampler, encode
from .tokenizer import END_OF_TEXT

WINDOW = 512
STRIDE = 256
HOLES, HOLE_WINDOW = 128, 256
WATCH_SEED = 2

Ids = Sequence[int]
# For rows of ids: what each id costs after the ids before it, in bits, [T - 1] for each row.
Costs = Callable[[Sequence[Ids]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Middles:
    """What the middles of some holes cost after one kind of prompt."""

    bits_a_byte: float
    end_probability: float


@dataclass(frozen=True)
class FimFigures:
    """The middles of the same holes by what was shown beside them."""

    prefix_alone: Middles
    spm: Middles
    psm: Middles
    spm_wrong_suffix: Middles
    psm_wrong_suffix: Middles


def bits_per_byte(costs: Costs, tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """Return the mean cost of a byte, left to right, each id seen after 256 to 511 others.

    A text begins after <|endoftext|>, so that its first id is counted too.
    """
    rows, counted, size = [], [], 0
    for text in texts:
        ids = [END_OF_TEXT, *encode(tokenizer, text)]
        size += len(text.encode())
        for start in range(0, max(1, len(ids) - STRIDE), STRIDE):
            rows.append(ids[start : start + WINDOW])
            counted.append(0 if start == 0 else STRIDE - 1)
    bits = costs(rows)
    return sum(float(c[skip:].sum()) for c, skip in zip(bits, counted, strict=True)) / size


def middles(
    costs: Costs, tokenizer: Tokenizer, prompts: Sequence[list[int]], holes: Sequence[Infill]
) -> Middles:
    """Return what the middles cost after `prompts`, and how likely the end is where they end."""
    rows = [
        [*prompt, *hole.middle, END_OF_TEXT] for prompt, hole in zip(prompts, holes, strict=True)
    ]
    bits = costs(rows)
    pairs = zip(bits, holes, strict=True)
    total = sum(float(cost[-len(hole.middle) - 1 : -1].sum()) for cost, hole in pairs)
    size = sum(len(tokenizer.decode(hole.middle).encode()) for hole in holes)
    return Middles(total / size, sum(2.0 ** -float(cost[-1]) for cost in bits) / len(bits))


def fim_figures(costs: Costs, tokenizer: Tokenizer, holes: Sequence[Infill]) -> FimFigures:
    """Return what the suffix is worth: right, wrong (the next hole's) and missing."""
    others = [*holes[1:], holes[0]]
    wrong = [
        Infill(hole.prefix, hole.middle, other.suffix)
        for hole, other in zip(holes, others, strict=True)
    ]

    def cost(prompts: Sequence[list[int]]) -> Middles:
        return middles(costs, tokenizer, prompts, holes)

    return FimFigures(
        prefix_alone=cost([hole.alone for hole in holes]),
        spm=cost([hole.prompt(spm=True) for hole in holes]),
        psm=cost([hole.prompt(spm=False) for hole in holes]),
        spm_wrong_suffix=cost([hole.prompt(spm=True) for hole in wrong]),
        psm_wrong_suffix=cost([hole.prompt(spm=False) for hole in wrong]),
    )


class Watch:
    """The figures that are watched while training."""

    def __init__(self, tokenizer: Tokenizer, sources: Sequence[Source]) -> None:
        self.tokenizer = tokenizer
        self.texts = [source.text for source in sources]
        random = Random(WATCH_SEED)
        sampler = Sampler(tokenizer, sources, [], {"library": 1.0})
        self.holes = [sampler.infill(HOLE_WINDOW, random) for _ in range(HOLES)]
        self.lines = [sampler.infill(HOLE_WINDOW, random, line_aligned) for _ in range(HOLES)]

    def point(self, costs: Costs) -> dict[str, float]:
        """Return bits a byte of a little text and a few middles, in seconds."""
        holes = self.holes[: HOLES // 4]

        def cost(prompts: Sequence[list[int]]) -> float:
            return middles(costs, self.tokenizer, prompts, holes).bits_a_byte

        return {
            "text": bits_per_byte(costs, self.tokenizer, [text[:1500] for text in self.texts]),
            "prefix alone": cost([hole.alone for hole in holes]),
            "psm": cost([hole.prompt(spm=False) for hole in holes]),
            "spm": cost([hole.prompt(spm=True) for hole in holes]),
        }

    def figures(self, costs: Costs) -> dict[str, float]:
        """Return bits a byte of all texts and middles, and the end's probability at line ends."""
        fim = fim_figures(costs, self.tokenizer, self.holes)
        lines = [
            middles(
                costs, self.tokenizer, [hole.prompt(spm=spm) for hole in self.lines], self.lines
            )
            for spm in (True, False)
        ]
        return {
            "text": bits_per_byte(costs, self.tokenizer, self.texts),
            "prefix alone": fim.prefix_alone.bits_a_byte,
            "spm": fim.spm.bits_a_byte,
            "psm": fim.psm.bits_a_byte,
            "spm, wrong suffix": fim.spm_wrong_suffix.bits_a_byte,
            "psm, wrong suffix": fim.psm_wrong_suffix.bits_a_byte,
            "end of lines": sum(line.end_probability for line in lines) / 2,
            "end of any": (fim.spm.end_probability + fim.psm.end_probability) / 2,
        }
