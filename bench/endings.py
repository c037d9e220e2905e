"""What the rules that end a completion win or lose, on holes in the demo's held-out modules.

Usage: python -m bench.endings BUNDLE [--data DIR] [--holes N]

BUNDLE is an export of the demo checkpoint. Each hole is completed once, greedily, up to a blank
line; the rules are then tried on what was written, as they do nothing but end it sooner.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

import refact_edge
from demo.corpus import load_corpus
from demo.data import CORPUS, DATA
from refact_edge import Model, Sampling
from refact_edge.quant.eval.similarity import similarity
from refact_edge.quant.texts.holes import KINDS, Hole, cut_holes
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.text.endings import NO_ENDINGS, Endings

SEED = 5
BEFORE, AFTER = 1500, 600  # characters of the prompt
MAX_TOKENS = 100
RULES = {
    "none": NO_ENDINGS,
    "block": Endings(block=True, repeat=False),
    "repeat": Endings(),
    "both": Endings(block=True),
}
DRAWS = 2000  # of holes, for the interval of a difference


def answers(model: Model, hole: Hole) -> list[str]:
    """Return what is left of a completion by each of the rules."""
    before, after = hole.prefix[-BEFORE:], hole.suffix[:AFTER]
    written = "".join(
        model.complete(
            before,
            after,
            max_tokens=MAX_TOKENS,
            endings=NO_ENDINGS,
            sampling=Sampling(temperature=0),
        )
    )
    texts = []
    for endings in RULES.values():
        scanner = endings.scanner(before, after)
        text = scanner.push(written)
        texts.append(text + ("" if scanner.stopped else scanner.flush()))
    return texts


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return between what values 95% of means of holes drawn again lie."""
    values, random = np.array(differences), np.random.default_rng(SEED)
    means = random.choice(values, (DRAWS, len(values))).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def rows(kind: str, answers_of: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return a line for each rule: how alike, how often exact, and the difference from none."""
    likeness = [[similarity(text, middle) for text in texts] for middle, texts in answers_of]
    lines = []
    for place, name in enumerate(RULES):
        alike = [row[place] for row in likeness]
        exact = sum(texts[place].rstrip() == middle.rstrip() for middle, texts in answers_of)
        changed = sum(texts[place] != texts[0] for _, texts in answers_of)
        low, high = interval([row[place] - row[0] for row in likeness])
        lines.append(
            f"{kind:6} {name:8} {np.mean(alike):10.4f} {exact:6} {changed:8} "
            f"{np.mean(alike) - np.mean([row[0] for row in likeness]):+9.4f} "
            f"({low:+.4f} to {high:+.4f})"
        )
    return lines


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True)
@click.option("--holes", "count", default=400, show_default=True, help="Of each kind.")
@click.option("--variant", default="int8", show_default=True)
def main(bundle: Path, data: Path, count: int, variant: str) -> None:
    """Print how alike completions and what stood there are, by rule."""
    if not (data / CORPUS).exists():
        raise click.ClickException(f"{data / CORPUS} is absent; run: make train-data")
    held_out = [Source(file.name, file.text) for file in load_corpus(data / CORPUS).of("held-out")]
    try:
        model = refact_edge.load(bundle, variant=variant)
        holes = cut_holes(held_out, tuple(KINDS), count * len(KINDS), SEED)
    except refact_edge.RefactEdgeError as error:
        raise click.ClickException(str(error)) from error
    answers_by_kind: dict[str, list[tuple[str, list[str]]]] = {kind: [] for kind in KINDS}
    with click.progressbar(holes, label="completing", file=sys.stderr, show_eta=True) as bar:
        for hole in bar:
            answers_by_kind[hole.kind].append((hole.middle, answers(model, hole)))
    click.echo(f"{count} holes of each kind, {variant}; alike is 1 less the edit distance's share")
    click.echo(
        f"{'':6} {'rules':8} {'alike':>10} {'exact':>6} {'changed':>8} {'less none':>9} (95%)"
    )
    for kind, pairs in answers_by_kind.items():
        for line in rows(kind, pairs):
            click.echo(line)


if __name__ == "__main__":
    main()
