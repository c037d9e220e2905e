"""What the rules that end a completion win or lose, on holes in the demo's held-out modules.

Usage: python -m bench.endings BUNDLE [--data DIR] [--holes N]

BUNDLE is an export of the demo checkpoint. Each hole is completed once, greedily, up to a blank
line; the rules are then tried on what was written, as they do nothing but end it sooner. A text is
counted as a loop by a test of its own, apart from the rule against them. That rule is also tried
on the modules themselves, where whatever it would end was written by people.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

import refact_edge
from demo.corpus import load_corpus
from demo.data import CORPUS, DATA
from refact_edge import Model, Sampling
from refact_edge.quant.eval.figures import mcnemar
from refact_edge.quant.eval.similarity import similarity
from refact_edge.quant.texts.holes import KINDS, Hole, cut_holes
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.text.endings import NO_ENDINGS, Endings
from refact_edge.runtime.text.loops import LoopScanner

SEED = 5
BEFORE, AFTER = 1500, 600  # characters of the prompt
MAX_TOKENS = 256  # loops need room
RULES = {
    "none": NO_ENDINGS,
    "block": Endings(block=True, repeat=False, loop=False),
    "repeat": Endings(loop=False),
    "loop": Endings(repeat=False),
    "usual": Endings(),
}
DRAWS = 2000  # of holes, for the interval of a difference
LOOP_COPIES, LOOP_CHARACTERS = 3, 40  # at the end of a text, to be called a loop
_TELLING = re.compile(r"\w.*\w.*\w", re.S)


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
    return [scan(written, endings, before, after) for endings in RULES.values()]


def scan(text: str, endings: Endings, before: str, after: str) -> str:
    """Return what of a text the rules pass on."""
    for scanner in endings.scanners(before, after):
        text = scanner.push(text)
        text += "" if scanner.stopped else scanner.flush()
    return text


def is_loop(text: str) -> bool:
    """Whether a text ends with copies of one part that says something."""
    end = text.rstrip()
    for period in range(1, len(end) // LOOP_COPIES + 1):
        size = max(period * LOOP_COPIES, LOOP_CHARACTERS)
        same = size <= len(end) and end[-size:-period] == end[period - size :]
        if same and _TELLING.search(end[-period:]):
            return True
    return False


def ended(text: str) -> list[str]:
    """Return what the rule against loops would end in a text that people wrote."""
    ends, at = [], 0
    while at < len(text):
        scanner, start = LoopScanner(), at
        while at < len(text) and not scanner.stopped:
            scanner.push(text[at])
            at += 1
        if scanner.stopped:
            ends.append(text[start:at])
    return ends


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return between what values 95% of means of holes drawn again lie."""
    values, random = np.array(differences), np.random.default_rng(SEED)
    means = random.choice(values, (DRAWS, len(values))).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def rows(kind: str, answers_of: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return a line for each rule: how alike, how often exact, how often a loop."""
    likeness = [[similarity(text, middle) for text in texts] for middle, texts in answers_of]
    right = [[text.rstrip() == middle.rstrip() for text in texts] for middle, texts in answers_of]
    lines = []
    for place, name in enumerate(RULES):
        alike = [row[place] for row in likeness]
        changed = sum(texts[place] != texts[0] for _, texts in answers_of)
        loops = sum(is_loop(texts[place]) for _, texts in answers_of)
        lost = sum(row[0] and not row[place] for row in right)
        won = sum(row[place] and not row[0] for row in right)
        low, high = interval([row[place] - row[0] for row in likeness])
        lines.append(
            f"{kind:6} {name:8} {np.mean(alike):10.4f} {sum(row[place] for row in right):6} "
            f"{mcnemar(lost, won):6.3f} {loops:6} {changed:8} "
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
        f"{'':6} {'rules':8} {'alike':>10} {'exact':>6} {'p':>6} {'loops':>6} {'changed':>8} "
        f"{'less none':>9} (95%)"
    )
    for kind, pairs in answers_by_kind.items():
        for line in rows(kind, pairs):
            click.echo(line)
    ends = [end for source in held_out for end in ended(source.text)]
    characters = sum(len(source.text) for source in held_out)
    click.echo(f"the modules themselves, {characters} characters: would be ended {len(ends)} times")
    for end in ends:
        click.echo(f"  {end[-60:]!r}")


if __name__ == "__main__":
    main()
