"""Trains the demo checkpoint and prints its figures: `python -m demo.train --minutes 25`.

Needs nothing but two CPU cores and the standard library of the interpreter that runs it. The
schedule is a function of the time that has passed, so a run ends when it was told to, and two runs
with one seed differ as their machines do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import click
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from refact_edge.export.reference.gpt_refact import GPTRefact

from .corpus import Corpus, read_corpus
from .report import report
from .samples import Sampler
from .save import bf16_weights, config, save_checkpoint
from .tokenizer import VOCABULARY, train_tokenizer

WIDTH, HEADS, LAYERS, INNER, EPSILON = 256, 4, 6, 768, 1e-5
POSITIONS = 1024
# Ids a step; a window's share of the steps. Short windows are faster, and holes are short.
STEP_TOKENS = 4096
WINDOWS = {128: 0.20, 256: 0.48, 512: 0.28, 1024: 0.04}
MUON_RATE, ADAM_RATE = 0.02, 0.004
WARM_UP, COOL_DOWN = 0.02, 0.65

Loss = Callable[[Tensor, Tensor], Tensor]


def build_model() -> GPTRefact:
    """Return a fresh model; what writes to the residual stream starts at zero."""
    model = GPTRefact(
        vocabulary=VOCABULARY, width=WIDTH, heads=HEADS, layers=LAYERS, inner=INNER, epsilon=EPSILON
    )
    for name, weight in model.named_parameters():
        if name.endswith("c_proj.weight"):
            nn.init.zeros_(weight)
        elif weight.ndim == 2:
            nn.init.normal_(weight, std=0.02)
    return model


def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the layers, AdamW for embedding, head and norms."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if ".h." in name and weight.ndim == 2]
    others = [weight for name, weight in named if not (".h." in name and weight.ndim == 2)]
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def rate_factor(passed: float) -> float:
    """Return the learning rate's factor after `passed` (0 to 1) of the time: up, flat, to zero."""
    return max(0.0, min(passed / WARM_UP, 1.0, (1.0 - passed) / COOL_DOWN))


def loss_of(model: nn.Module) -> Loss:
    """Return the weighted mean cost of the next id for ids and weights [B, T + 1], in nats."""

    def loss(ids: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(ids[:, :-1])
        nats = functional.cross_entropy(
            logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
        )
        heavy = weights[:, 1:].flatten()
        return (nats * heavy).sum() / heavy.sum()

    return loss


def step_loss(loss: Loss, sampler: Sampler, window: int) -> Tensor:
    """Return the loss of a fresh batch of windows of this length, its gradients added up."""
    ids, weights = sampler.batch(STEP_TOKENS // window, window + 1)
    value = loss(torch.from_numpy(ids), torch.from_numpy(weights))
    value.backward()  # type: ignore[no-untyped-call]
    return value


def warm_up(model: nn.Module, sampler: Sampler, loss: Loss) -> None:
    """Evaluate each window length once, so that compiling does not eat the training's time."""
    with click.progressbar(WINDOWS, label="compiling") as bar:
        for window in bar:
            step_loss(loss, sampler, window)
            model.zero_grad()


def train(model: nn.Module, sampler: Sampler, random: Random, seconds: float, loss: Loss) -> int:
    """Train `model` in place for `seconds`; return how many ids it saw."""
    steppers = optimizers(model)
    bases = [stepper.param_groups[0]["lr"] for stepper in steppers]
    began, passed, seen, smooth = time.monotonic(), 0.0, 0, 0.0
    with click.progressbar(
        length=1000, label="training", item_show_func=lambda shown: shown
    ) as bar:
        while passed < 1.0:
            window = random.choices(list(WINDOWS), list(WINDOWS.values()))[0]
            value = step_loss(loss, sampler, window).item()
            for stepper, base in zip(steppers, bases, strict=True):
                stepper.param_groups[0]["lr"] = base * rate_factor(passed)
                stepper.step()
                stepper.zero_grad()
            seen += STEP_TOKENS
            smooth = 0.99 * smooth + 0.01 * value if smooth else value
            passed = min(1.0, (time.monotonic() - began) / seconds)
            bar.update(int(1000 * passed) - bar.pos, f"loss {smooth:.3f}, {seen / 1e6:.1f}M ids")
    return seen


def prepare(seed: int) -> tuple[Corpus, Tokenizer, Sampler, Random]:
    """Read the library, train the tokenizer and set up the sampler."""
    torch.manual_seed(seed)
    random = Random(seed)
    corpus = read_corpus()
    tokenizer = train_tokenizer(source.text for source in corpus.training)
    size = sum(len(source.text.encode()) for source in corpus.training)
    click.echo(
        f"{len(corpus.training)} files, {size / 1e6:.2f} MB; "
        f"{len(corpus.held_out)} held out, {corpus.dropped} dropped as copies"
    )
    return corpus, tokenizer, Sampler(tokenizer, corpus.training, random), random


@click.command()
@click.option("--minutes", default=25.0, show_default=True, help="Time for the training itself.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--compile/--eager",
    "compiled",
    default=True,
    help="Use torch.compile, twice as fast; it needs a C++ compiler.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(__file__).parent / "checkpoint",
    help="The checkpoint's folder.",
)
def main(minutes: float, seed: int, compiled: bool, out: Path) -> None:
    """Train the demo checkpoint on the Python standard library."""
    corpus, tokenizer, sampler, random = prepare(seed)
    model = build_model()
    loss = loss_of(model)
    if compiled:
        loss = torch.compile(loss, dynamic=False)
        warm_up(model, sampler, loss)
    seen = train(model, sampler, random, 60 * minutes, loss)
    click.echo(f"{seen / 1e6:.1f}M ids, {seen / (60 * minutes):,.0f} a second")
    fields = config(
        vocabulary=VOCABULARY, width=WIDTH, heads=HEADS, layers=LAYERS, positions=POSITIONS
    )
    size = save_checkpoint(out, model.state_dict(), tokenizer, fields)
    click.echo(f"{out}: {size:,} bytes")
    rounded = {name: weight.float() for name, weight in bf16_weights(model.state_dict()).items()}
    model.load_state_dict(rounded)
    for line in report(model, tokenizer, corpus.held_out):
        click.echo(line)


if __name__ == "__main__":
    main()
