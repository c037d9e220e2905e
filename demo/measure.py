"""Figures of a checkpoint on text that it was not trained on.

Everything is computed in fp32 from the weights as they are; round them to bf16 first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from .samples import Infill, encode
from .tokenizer import END_OF_TEXT, FIM_PAD

WINDOW = 512
STRIDE = 256
ROWS = 16


@dataclass(frozen=True)
class FimFigures:
    """Bits a byte of the middle, by what was shown beside it; and the end token's probability."""

    spm: float
    psm: float
    prefix_alone: float
    wrong_suffix_spm: float
    end_of_text: float


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return the rows as ids [B, T]; padding on the right is invisible to a causal model."""
    tensors = [torch.tensor(row) for row in rows]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=FIM_PAD)


@torch.no_grad()
def token_bits(model: nn.Module, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return what each id costs after the ids before it, in bits: [T - 1] for each row."""
    costs = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        ids = padded(part)
        logits = model(ids[:, :-1]).float().transpose(1, 2)
        nats = functional.cross_entropy(logits, ids[:, 1:], reduction="none")
        costs += [nats[i, : len(row) - 1] / math.log(2) for i, row in enumerate(part)]
    return costs


def bits_per_byte(model: nn.Module, tokenizer: Tokenizer, texts: Iterable[str]) -> float:
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
    costs = token_bits(model, rows)
    return sum(float(c[skip:].sum()) for c, skip in zip(costs, counted, strict=True)) / size


def middle_bits(
    model: nn.Module, tokenizer: Tokenizer, prompts: Sequence[list[int]], holes: Sequence[Infill]
) -> tuple[float, float]:
    """Return bits a byte of the middles after `prompts`, and the mean probability of the end."""
    rows = [
        [*prompt, *hole.middle, END_OF_TEXT] for prompt, hole in zip(prompts, holes, strict=True)
    ]
    costs = token_bits(model, rows)
    pairs = zip(costs, holes, strict=True)
    bits = sum(float(cost[-len(hole.middle) - 1 : -1].sum()) for cost, hole in pairs)
    size = sum(len(tokenizer.decode(hole.middle).encode()) for hole in holes)
    return bits / size, sum(2.0 ** -float(cost[-1]) for cost in costs) / len(costs)


def fim_figures(model: nn.Module, tokenizer: Tokenizer, holes: Sequence[Infill]) -> FimFigures:
    """Return what the suffix is worth: right, wrong (another hole's) and missing."""
    others = [*holes[1:], holes[0]]
    wrong = [
        Infill(hole.prefix, hole.middle, other.suffix)
        for hole, other in zip(holes, others, strict=True)
    ]

    def cost(prompts: Sequence[list[int]]) -> tuple[float, float]:
        return middle_bits(model, tokenizer, prompts, holes)

    spm, end_spm = cost([hole.prompt(spm=True) for hole in holes])
    psm, end_psm = cost([hole.prompt(spm=False) for hole in holes])
    alone, _ = cost([hole.prefix for hole in holes])
    other, _ = cost([hole.prompt(spm=True) for hole in wrong])
    return FimFigures(spm, psm, alone, other, (end_spm + end_psm) / 2)


@torch.no_grad()
def greedy(
    model: nn.Module, prompts: Sequence[list[int]], stops: set[int], limit: int
) -> list[tuple[list[int], bool]]:
    """Return each prompt's most likely continuation, without the stop id, and whether it stopped.

    There is no cache: every step evaluates the whole rows again.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    for _ in range(limit):
        live = [i for i, done in enumerate(stopped) if not done]
        for start in range(0, len(live), ROWS):
            part = live[start : start + ROWS]
            rows = [prompts[i] + answers[i] for i in part]
            logits = model(padded(rows))
            for place, i in enumerate(part):
                best = int(logits[place, len(rows[place]) - 1].argmax())
                stopped[i] = best in stops
                if not stopped[i]:
                    answers[i].append(best)
    return list(zip(answers, stopped, strict=True))
