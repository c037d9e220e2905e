"""The demo checkpoint's figures on held-out modules: `python -m demo.report BUNDLE`.

Measures the graphs that are shipped, through the runtime; needs what `python -m demo.data`
gathered and no torch. Holes and questions are the same for every model with the same tokenizer.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import click
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from refact_edge import Model, load
from refact_edge.quant.eval.fim import REPEATS, is_repetitive
from refact_edge.quant.eval.likelihood import Reader, log_probabilities

from .chat import Function, load_functions, question
from .corpus import Source, load_corpus
from .data import CORPUS, DATA, FUNCTIONS
from .holes import Kind, block, characters, line_aligned, one_line, part_of_line, rest_of_line
from .measure import (
    HOLE_WINDOW,
    Costs,
    FimFigures,
    Ids,
    bits_per_byte,
    fim_figures,
    middles,
)
from .samples import Infill, Sampler, chat_prompt

SEED = 1
HOLES, HOLES_OF_A_KIND, LINES, COMPLETIONS, QUESTIONS = 300, 50, 200, 100, 100
FIM_LIMIT, CHAT_LIMIT = 64, 256
KINDS: dict[str, Kind] = {
    "words in a line": part_of_line,
    "rest of a line": rest_of_line,
    "characters": characters,
    "whole lines": line_aligned,
    "block": block,
}


@dataclass(frozen=True)
class HeldOut:
    """What is measured on: texts, holes and questions from modules that were never trained on."""

    texts: list[str]
    any_holes: list[Infill]
    by_kind: dict[str, list[Infill]]
    aligned: list[Infill]
    lines: list[Infill]
    questions: list[list[int]]


def held_out(
    tokenizer: Tokenizer, sources: Sequence[Source], functions: Sequence[Function]
) -> HeldOut:
    """Cut the holes and ask the questions, the same ones each time."""
    sampler = Sampler(tokenizer, sources, functions, {"library": 1.0})
    random = Random(SEED)

    def holes(count: int, kind: Kind | None = None) -> list[Infill]:
        return [sampler.infill(HOLE_WINDOW, random, kind) for _ in range(count)]

    return HeldOut(
        [source.text for source in sources],
        holes(HOLES),
        {name: holes(HOLES_OF_A_KIND, kind) for name, kind in KINDS.items()},
        holes(LINES, line_aligned),
        holes(LINES, one_line),
        [
            chat_prompt(tokenizer, question(function, random))
            for function in random.sample(functions, QUESTIONS)
        ],
    )


def costs_of(model: Model) -> Costs:
    """Return the function that says what ids cost, from the graph's own logits."""
    tokens = model.session.sizes.tokens

    def costs(rows: Sequence[Ids]) -> list[NDArray[np.float32]]:
        pieces = []
        for row in rows:
            ids = np.asarray(row, np.int64)
            logits = model.session.step(ids[:-1], model.session.new_cache(), len(ids) - 1)
            nats = -log_probabilities(logits[:, :tokens], ids[1:])
            pieces.append((nats / math.log(2)).astype(np.float32))
        return pieces

    return costs


def hole_lines(name: str, fim: FimFigures) -> Iterator[str]:
    """Yield what the middles of some holes cost, a line for each order."""
    alone = fim.prefix_alone.bits_a_byte
    rows = (("SPM", fim.spm, fim.spm_wrong_suffix), ("PSM", fim.psm, fim.psm_wrong_suffix))
    for order, right, wrong in rows:
        yield (
            f"  {name:16} prefix alone {alone:.3f}  {order} {right.bits_a_byte:.3f} "
            f"({1 - right.bits_a_byte / alone:6.1%})  wrong suffix {wrong.bits_a_byte:.3f}  "
            f"end {right.end_probability:.3f}"
        )


def text_lines(costs: Costs, tokenizer: Tokenizer, data: HeldOut) -> Iterator[str]:
    """Yield what a byte costs, left to right and in holes."""
    score = bits_per_byte(costs, tokenizer, data.texts)
    yield f"bits a byte, left to right: {score:.3f}"
    yield "bits a byte of the middle; beside it, how much less than with the prefix alone"
    for name, holes in {"all kinds": data.any_holes, **data.by_kind}.items():
        yield from hole_lines(name, fim_figures(costs, tokenizer, holes))
    for name, spm in (("SPM", True), ("PSM", False)):
        prompts = [hole.prompt(spm=spm) for hole in data.aligned]
        figures = middles(costs, tokenizer, prompts, data.aligned)
        yield f"  end after whole lines, {name}: mean probability {figures.end_probability:.3f}"


def answer_lines(model: Model, tokenizer: Tokenizer, data: HeldOut) -> Iterator[str]:
    """Yield how greedy completions and answers end, and how many lines are right."""
    reader = Reader(model.session, model.layouts.end_id, model.layouts.special_ids)
    holes = data.any_holes[:COMPLETIONS]
    for name, spm in (("SPM", True), ("PSM", False)):
        ends = [reader.write(hole.prompt(spm=spm), FIM_LIMIT) for hole in holes]
        exact = sum(ids == hole.middle for (ids, _), hole in zip(ends, holes, strict=True))
        looping = sum(is_repetitive(tokenizer.decode(ids)) for ids, _ in ends)
        yield (
            f"{len(ends)} holes, {name}: {sum(done for _, done in ends)} stop within {FIM_LIMIT} "
            f"ids, {looping} say a line {REPEATS} times, {exact} exact"
        )
    prompts = {
        "SPM": [hole.prompt(spm=True) for hole in data.lines],
        "PSM": [hole.prompt(spm=False) for hole in data.lines],
        "prefix alone": [hole.alone for hole in data.lines],
    }
    originals = [tokenizer.decode(hole.middle).strip() for hole in data.lines]
    for name, cases in prompts.items():
        texts = [tokenizer.decode(reader.write(prompt, FIM_LIMIT)[0]) for prompt in cases]
        # The same cut for all: without the suffix nothing else ends a line.
        exact = sum(
            text.split("\n")[0].strip() == line for text, line in zip(texts, originals, strict=True)
        )
        yield f"single lines, {name}: {exact} of {len(cases)} exact ({exact / len(cases):.1%})"
    stopped = sum(reader.write(prompt, CHAT_LIMIT)[1] for prompt in data.questions)
    yield f"{len(data.questions)} questions: {stopped} answers stop within {CHAT_LIMIT} ids"


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--variants", default="fp32", show_default=True, help="Comma-separated.")
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True)
def main(bundle: Path, variants: str, data: Path) -> None:
    """Print the figures of a demo bundle on the held-out modules."""
    if not (data / CORPUS).exists():
        raise click.ClickException(f"{data / CORPUS} is missing; gather it first: make train-data")
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    sources = load_corpus(data / CORPUS).of("held-out")
    measured = held_out(tokenizer, sources, load_functions(data / FUNCTIONS, "held-out"))
    size = sum(len(text.encode()) for text in measured.texts)
    packed = len(lzma.compress("".join(measured.texts).encode(), preset=9 | lzma.PRESET_EXTREME))
    click.echo(f"{len(measured.texts)} held-out files, {size / 1e6:.2f} MB")
    click.echo(f"xz -9e of the same files: {8 * packed / size:.2f} bits a byte")
    for variant in variants.split(","):
        model = load(bundle, variant=variant, device="cpu")
        click.echo(f"--- {variant}")
        for line in text_lines(costs_of(model), tokenizer, measured):
            click.echo(line)
        for line in answer_lines(model, tokenizer, measured):
            click.echo(line)


if __name__ == "__main__":
    main()
