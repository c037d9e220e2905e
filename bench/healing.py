"""What it wins to write a broken word before the cursor anew, on the demo's held-out modules.

Usage: python -m bench.healing BUNDLE [--data DIR] [--places N]

BUNDLE is an export of the demo checkpoint. Cursors are put into lines; the rest of the line is
asked for with the last token before the cursor taken back and without, greedily, and compared in
pairs.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import refact_edge
from demo.corpus import load_corpus
from demo.data import CORPUS, DATA
from refact_edge import Model, Sampling

SEED = 3
BEFORE, AFTER = 1500, 600  # characters of the prompt
LONGEST_LINE, MAX_TOKENS = 120, 40
CURSORS = {
    "a letter, digit or _": re.compile(r"(?<=\w)"),
    "a sign": re.compile(r"(?<=[^\w\s])"),
    "a blank": re.compile(r"(?<= )(?=\S)"),
}
NEXT_WORD = re.compile(r"\w*\W?")

Place = tuple[str, str, str]  # before the cursor, the rest of its line, after that


def places(texts: list[str], cursor: re.Pattern[str], rng: random.Random) -> Iterator[Place]:
    """Yield places in lines, without end."""
    while True:
        text = rng.choice(texts)
        at = rng.randrange(len(text))
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        line = text[start : end if end >= 0 else None]
        if not line.strip() or len(line) > LONGEST_LINE or line.strip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        places = [m.start() for m in cursor.finditer(line) if indent < m.start() <= len(line) - 2]
        if places:
            place, stop = start + rng.choice(places), start + len(line)
            yield text[max(0, place - BEFORE) : place], text[place:stop], text[stop : stop + AFTER]


def judge(model: Model, place: Place, heal: bool) -> tuple[bool, bool]:
    """Return whether the rest of the line is right, and whether its next word is."""
    before, middle, after = place
    greedy = Sampling(temperature=0)
    written = "".join(
        model.complete(
            before, after, multiline=False, max_tokens=MAX_TOKENS, heal=heal, sampling=greedy
        )
    )
    word = NEXT_WORD.match(middle)
    assert word is not None
    return written.rstrip() == middle.rstrip(), written.startswith(word.group())


def pairs(without: list[bool], anew: list[bool]) -> str:
    """Return how often each was right, and how often only one of them was."""
    lost = sum(a and not b for a, b in zip(without, anew, strict=True))
    won = sum(b and not a for a, b in zip(without, anew, strict=True))
    return f"{sum(without):7} {sum(anew):5} {lost:5} {won:4}"


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True)
@click.option("--places", "count", default=400, show_default=True, help="Cursors of each kind.")
@click.option("--variant", default="int8", show_default=True)
def main(bundle: Path, data: Path, count: int, variant: str) -> None:
    """Print how often the rest of the line and its next word are right."""
    if not (data / CORPUS).exists():
        raise click.ClickException(f"{data / CORPUS} is absent; run: make train-data")
    held_out = [source.text for source in load_corpus(data / CORPUS).of("held-out")]
    try:
        model, rng = refact_edge.load(bundle, variant=variant), random.Random(SEED)
    except refact_edge.RefactEdgeError as error:
        raise click.ClickException(str(error)) from error
    rows = []
    with click.progressbar(
        length=count * len(CURSORS), label="completing", file=sys.stderr, show_eta=True
    ) as bar:
        for name, cursor in CURSORS.items():
            matches: dict[bool, list[tuple[bool, bool]]] = {False: [], True: []}
            for place, _ in zip(places(held_out, cursor, rng), range(count), strict=False):
                for heal, judged in matches.items():
                    judged.append(judge(model, place, heal))
                bar.update(1)
            line, word = (
                pairs([one[i] for one in matches[False]], [one[i] for one in matches[True]])
                for i in (0, 1)
            )
            rows.append(f"{name:21} {line}   {word}")
    click.echo(f"{count} cursors of each kind, {variant}")
    click.echo(f"{'':21} {'rest of the line':>24}   {'next word':>24}")
    head = f"{'without':>7} {'anew':>5} {'lost':>5} {'won':>4}"
    click.echo(f"{'cursor behind':21} {head}   {head}")
    for row in rows:
        click.echo(row)


if __name__ == "__main__":
    main()
