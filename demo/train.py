"""Trains a demo checkpoint: `python -m demo.train --recipe words --minutes 15 --out DIR`.

Reads what `python -m demo.data` gathered and needs no network. The number of steps is set at the
beginning, from the speed measured then, so that a busy machine gets the same model later.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import click
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from .chat import load_functions
from .corpus import Corpus, load_corpus
from .curve import draw
from .data import CORPUS, DATA, FUNCTIONS, PACKAGES, Package, load_packages
from .loop import Progress, Trainer, costs_of, grow, load_state, save_state
from .measure import Watch
from .recipes import POSITIONS, RECIPES, WIDTH, Recipe
from .samples import Sampler
from .save import bf16_weights, config, save_checkpoint
from .tokenizer import train_tokenizer

SAVE_EVERY_S = 300
POINTS = 16
# The tokenizer's merges settle long before all packages are read.
TOKENIZER_CHARACTERS = 24_000_000


def read_data(folder: Path) -> Corpus:
    """Read the gathered texts, or say how to gather them."""
    try:
        return load_corpus(folder / CORPUS)
    except FileNotFoundError:
        raise click.ClickException(
            f"{folder / CORPUS} is missing; gather the texts first: make train-data"
        ) from None


def open_tokenizer(checkpoint: Path) -> Tokenizer:
    """Return a checkpoint's tokenizer, which parses no specials in text."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def tokenizer_for(corpus: Corpus, recipe: Recipe) -> Tokenizer:
    """Train the tokenizer on the library first, then on packages until there is enough."""
    sources = corpus.of("training")
    texts = [source.text for source in sources if source.group == "library"]
    others = [source.text for source in sources if source.group == "packages"]
    Random(0).shuffle(others)
    size = 0
    for text in others:
        if (size := size + len(text)) > TOKENIZER_CHARACTERS:
            break
        texts.append(text)
    return train_tokenizer(texts, recipe.vocabulary)


def run(trainer: Trainer, progress: Progress, watch: Watch, out: Path) -> None:
    """Train to the end, with a progress bar; the state is saved every few minutes."""
    costs = costs_of(trainer.model, trainer.device)
    every, saved, smooth = max(1, progress.steps // POINTS), time.monotonic(), 0.0
    with click.progressbar(
        length=progress.steps, label="training", item_show_func=lambda text: text
    ) as bar:
        bar.update(progress.done)
        while progress.done < progress.steps:
            value = trainer.step(progress)
            smooth = 0.98 * smooth + 0.02 * value if smooth else value
            if progress.done % every == 0 or progress.done == progress.steps:
                point = {"ids": float(progress.ids), "training": smooth / math.log(2)}
                progress.points.append(point | watch.point(costs))
            if time.monotonic() - saved > SAVE_EVERY_S or progress.done == progress.steps:
                save_state(trainer, progress, out / "state.pt")
                saved = time.monotonic()
            bar.update(1, f"cost {smooth:.3f} nats, {progress.ids / 1e6:.1f}M ids")


def begin(trainer: Trainer, out: Path, start: Path | None, minutes: float, seed: int) -> Progress:
    """Go on with the run in `out`, or begin one, from the weights of a checkpoint when asked."""
    click.echo("compiling and timing (a minute) ...")
    seconds = trainer.seconds_a_step()
    state = out / "state.pt"
    if state.exists():
        progress = load_state(trainer, state)
        click.echo(f"going on with {state}: step {progress.done} of {progress.steps}")
        return progress
    if start is not None:
        layers = json.loads((start / "config.json").read_text())["n_layer"]
        grow(trainer.model, load_file(start / "model.safetensors"), layers)
    progress = Progress(seed, steps=max(1, round(60 * minutes / seconds)))
    click.echo(f"{progress.steps} steps of {trainer.recipe.step_ids} ids, {seconds:.2f} s each")
    return progress


def write(
    trainer: Trainer,
    progress: Progress,
    tokenizer: Tokenizer,
    packages: Sequence[Package],
    out: Path,
) -> None:
    """Write the checkpoint, the curve's points and its picture."""
    fields = config(
        vocabulary=trainer.recipe.vocabulary,
        width=WIDTH,
        heads=trainer.recipe.heads,
        layers=trainer.recipe.layers,
        positions=POSITIONS,
    )
    weights = trainer.model.state_dict()
    size = save_checkpoint(out / "checkpoint", weights, tokenizer, fields, packages)
    (out / "curve.json").write_text(json.dumps(progress.points, indent=1) + "\n")
    draw(progress.points, out / "curve.svg")
    click.echo(f"{out / 'checkpoint'}: {size:,} bytes; its curve is {out / 'curve.svg'}")


@click.command()
@click.option("--recipe", "name", type=click.Choice(list(RECIPES)), default="words")
@click.option("--minutes", default=90.0, show_default=True, help="Time for the training itself.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="A checkpoint's folder to build on: its tokenizer, and its layers among new ones.",
)
@click.option("--rates", default=1.0, show_default=True, help="Factor on both learning rates.")
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option(
    "--compile/--eager",
    "compiled",
    default=True,
    help="Use torch.compile, twice as fast; it needs a C++ compiler.",
)
def main(
    name: str,
    minutes: float,
    seed: int,
    start: Path | None,
    rates: float,
    data: Path,
    out: Path,
    compiled: bool,
) -> None:
    """Train a demo checkpoint; run it again with the same --out to go on after an interruption."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = RECIPES[name]
    recipe = replace(recipe, muon_rate=recipe.muon_rate * rates, adam_rate=recipe.adam_rate * rates)
    corpus = read_data(data)
    out.mkdir(parents=True, exist_ok=True)
    click.echo(f"recipe {name} on {device.type}; preparing the tokenizer and the texts ...")
    tokenizer = tokenizer_for(corpus, recipe) if start is None else open_tokenizer(start)
    functions = load_functions(data / FUNCTIONS, "training")
    sampler = Sampler(
        tokenizer,
        corpus.of("training"),
        functions,
        recipe.groups,
        recipe.several,
        recipe.stutters,
    )
    watch = Watch(tokenizer, corpus.of("validation"))
    trainer = Trainer(recipe, sampler, device, compiled=compiled)
    progress = begin(trainer, out, start, minutes, seed)
    try:
        run(trainer, progress, watch, out)
    except KeyboardInterrupt:
        save_state(trainer, progress, out / "state.pt")
        click.echo(f"\nstopped after {progress.done} steps; the same command goes on from there")
        raise SystemExit(130) from None
    write(trainer, progress, tokenizer, load_packages(data / PACKAGES), out)
    rounded = {
        key: weight.float() for key, weight in bf16_weights(trainer.model.state_dict()).items()
    }
    trainer.model.load_state_dict(rounded)
    for key, value in watch.figures(costs_of(trainer.model, device)).items():
        click.echo(f"validation {key}: {value:.3f}")


if __name__ == "__main__":
    main()
