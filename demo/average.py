"""Averages two runs of one shape: `python -m demo.average RUN RUN --part 0.7 --out DIR`.

Where a run was begun from another one's checkpoint, the mean of both is better than either
(Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization").
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from tokenizers import Tokenizer

from .data import DATA, PACKAGES, load_packages
from .recipes import POSITIONS
from .save import config, save_checkpoint

STATE = "state.pt"
_PATH = click.Path(path_type=Path)

Weights = dict[str, torch.Tensor]


def weights_of(run: Path) -> Weights:
    """Return the weights that a run has reached, unrounded."""
    file = run / STATE
    if not file.is_file():
        raise click.ClickException(f"{run} has no {STATE}; expected the folder of a training run")
    content: dict[str, Weights] = torch.load(file, map_location="cpu", weights_only=True)
    return content["model"]


def average(first: Weights, second: Weights, part: float) -> Weights:
    """Return the mean in which the second has that part."""
    if [(name, w.shape) for name, w in first.items()] != [(n, w.shape) for n, w in second.items()]:
        raise click.ClickException("the two runs have other shapes; expected the same recipe shape")
    return {name: torch.lerp(weight, second[name], part) for name, weight in first.items()}


@click.command()
@click.argument("first", type=_PATH)
@click.argument("second", type=_PATH)
@click.option("--part", default=0.5, show_default=True, help="The second run's part of the mean.")
@click.option("--data", type=_PATH, default=DATA, show_default=True)
@click.option("--out", type=_PATH, required=True, help="The checkpoint's folder.")
def main(first: Path, second: Path, part: float, data: Path, out: Path) -> None:
    """Write the average of two runs as a checkpoint."""
    weights = average(weights_of(first), weights_of(second), part)
    previous = second / "checkpoint"
    tokenizer = Tokenizer.from_file(str(previous / "tokenizer.json"))
    vocabulary, width = weights["transformer.wte.weight"].shape
    head_size = weights["transformer.h.0.attn.kv.weight"].shape[0] // 2
    fields = config(
        vocabulary=vocabulary,
        width=width,
        heads=width // head_size,
        layers=sum(name.endswith("attn.q.weight") for name in weights),
        positions=POSITIONS,
    )
    size = save_checkpoint(out, weights, tokenizer, fields, load_packages(data / PACKAGES))
    click.echo(f"{out}: {size:,} bytes")


if __name__ == "__main__":
    main()
