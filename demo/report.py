"""The figures and samples that end a training run, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from tokenizers import Tokenizer
from torch import nn

from refact_edge.export.starcoder import SPECIAL_TOKENS

from .chat import question
from .corpus import Source
from .measure import bits_per_byte, fim_figures, greedy
from .samples import Infill, Sampler, chat_prompt, encode
from .tokenizer import EMPTY_OUTPUT, END_OF_TEXT

HOLES = 300
COMPLETIONS = 50
FIM_LIMIT, CHAT_LIMIT = 64, 192
WINDOW = 256
SEED = 1  # the same holes and questions for every checkpoint

HOLE_BEFORE = "def mean(values):\n    total = 0\n    for value in values:\n        "
HOLE_AFTER = "\n    return total / len(values)\n"
QUESTION = "Write a Python function: Return the number of items in the queue."


def stop_lines(
    model: nn.Module, tokenizer: Tokenizer, sampler: Sampler, holes: Sequence[Infill]
) -> Iterator[str]:
    """Yield how many greedy completions and answers end by themselves."""
    prompts = [hole.prompt(spm=True) for hole in holes[:COMPLETIONS]]
    ends = greedy(model, prompts, set(range(len(SPECIAL_TOKENS))), FIM_LIMIT)
    exact = sum(ids == hole.middle for (ids, _), hole in zip(ends, holes, strict=False))
    stopped = sum(done for _, done in ends)
    yield f"greedy holes that stop within {FIM_LIMIT} ids: {stopped} of {len(ends)}, {exact} exact"
    chosen = sampler.random.sample(sampler.functions, COMPLETIONS)
    asked = [chat_prompt(tokenizer, question(function, sampler.random)) for function in chosen]
    ends = greedy(model, asked, {EMPTY_OUTPUT, END_OF_TEXT}, CHAT_LIMIT)
    stopped = sum(done for _, done in ends)
    yield f"greedy answers that stop within {CHAT_LIMIT} ids: {stopped} of {len(ends)}"


def sample_lines(model: nn.Module, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield one greedy completion and one greedy answer."""
    hole = Infill(encode(tokenizer, HOLE_BEFORE), [], encode(tokenizer, HOLE_AFTER))
    [(ids, _)] = greedy(model, [hole.prompt(spm=True)], {END_OF_TEXT}, FIM_LIMIT)
    yield f"--- hole\n{HOLE_BEFORE}[{tokenizer.decode(ids)}]{HOLE_AFTER}"
    asked = chat_prompt(tokenizer, QUESTION)
    [(ids, _)] = greedy(model, [asked], {EMPTY_OUTPUT, END_OF_TEXT}, CHAT_LIMIT)
    yield f"--- {QUESTION}\n{tokenizer.decode(ids).strip()}"


def report(model: nn.Module, tokenizer: Tokenizer, held_out: Sequence[Source]) -> Iterator[str]:
    """Yield the figures on the held-out files, one a line, then the samples."""
    score = bits_per_byte(model, tokenizer, (source.text for source in held_out))
    yield f"held-out bits a byte: {score:.3f}"
    sampler = Sampler(tokenizer, held_out, Random(SEED))
    holes = [sampler.infill(WINDOW) for _ in range(HOLES)]
    fim = fim_figures(model, tokenizer, holes)
    yield (
        f"bits a byte of the middle: SPM {fim.spm:.3f}, PSM {fim.psm:.3f}, prefix alone "
        f"{fim.prefix_alone:.3f}, SPM with another hole's suffix {fim.wrong_suffix_spm:.3f}"
    )
    yield f"mean probability of the end token at the true end: {fim.end_of_text:.3f}"
    yield from stop_lines(model, tokenizer, sampler, holes)
    yield from sample_lines(model, tokenizer)
