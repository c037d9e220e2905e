"""The training loop: steps, learning rates, and a state that a later run goes on from.

The schedule is a function of the step, and a step's rows are a function of the seed and the step,
so that a run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from refact_edge.export.reference.gpt_refact import GPTRefact
from refact_edge.runtime.files.atomic_write import atomic_write

from .measure import Costs, Ids
from .recipes import EPSILON, INNER, WIDTH, Recipe
from .samples import Sampler
from .tokenizer import FIM_PAD

WARM_UP, COOL_DOWN = 0.02, 0.65
TIMED_STEPS = 3
MEASURED_ROWS = 16

Point = dict[str, float]


def build_model(recipe: Recipe) -> GPTRefact:
    """Return a fresh model; what writes to the residual stream starts at zero."""
    model = GPTRefact(
        vocabulary=recipe.vocabulary,
        width=WIDTH,
        heads=recipe.heads,
        layers=recipe.layers,
        inner=INNER,
        epsilon=EPSILON,
    )
    for name, weight in model.named_parameters():
        if name.endswith("c_proj.weight"):
            nn.init.zeros_(weight)
        elif weight.ndim == 2:
            nn.init.normal_(weight, std=0.02)
    return model


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the layers, AdamW for embedding, head and norms."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if ".h." in name and weight.ndim == 2]
    others = [weight for name, weight in named if not (".h." in name and weight.ndim == 2)]
    adam = torch.optim.AdamW(
        others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    muon = torch.optim.Muon(matrices, lr=recipe.muon_rate, momentum=0.95, weight_decay=0.05)
    return [muon, adam]


def rate_factor(passed: float) -> float:
    """Return the learning rate's factor after `passed` (0 to 1) of the steps: up, flat, to zero."""
    return max(0.0, min(passed / WARM_UP, 1.0, (1.0 - passed) / COOL_DOWN))


def weighted_cost(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean cost of `targets` [B, T] in nats for logits [B, T, V]."""
    nats = functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), reduction="none"
    )
    heavy = weights.flatten()
    return (nats * heavy).sum() / heavy.sum()


def costs_of(model: nn.Module, device: torch.device) -> Costs:
    """Return the function that says, in fp32, what ids cost after the ids before them."""

    def bits_of(ids: Tensor) -> NDArray[np.float32]:
        # Rows have many lengths, and each would be compiled.
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            logits = model(ids[:, :-1]).float().transpose(1, 2)
            nats = functional.cross_entropy(logits, ids[:, 1:], reduction="none")
        bits: NDArray[np.float32] = (nats / math.log(2)).cpu().numpy()
        return bits

    def costs(rows: Sequence[Ids]) -> list[NDArray[np.float32]]:
        pieces: list[NDArray[np.float32]] = []
        for start in range(0, len(rows), MEASURED_ROWS):
            part = [torch.tensor(row) for row in rows[start : start + MEASURED_ROWS]]
            # Padding on the right is invisible to a causal model.
            ids = nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=FIM_PAD)
            bits = bits_of(ids.to(device))
            pieces += [bits[i, : len(row) - 1] for i, row in enumerate(part)]
        return pieces

    return costs


@dataclass
class Progress:
    """How far a run is: what is saved beside the weights."""

    seed: int
    steps: int
    done: int = 0
    ids: int = 0
    points: list[Point] = field(default_factory=list)


class Trainer:
    """A model, its optimizers and its rows."""

    def __init__(
        self, recipe: Recipe, sampler: Sampler, device: torch.device, *, compiled: bool
    ) -> None:
        self.recipe, self.sampler, self.device = recipe, sampler, device
        self.model = build_model(recipe).to(device)
        self.optimizers = optimizers(self.model, recipe)
        self.bases = [stepper.param_groups[0]["lr"] for stepper in self.optimizers]
        self.cost: Callable[[Tensor, Tensor, Tensor], Tensor] = weighted_cost
        if compiled:
            # One layer is compiled, once for each window; the others share its code.
            for block in self.model.transformer.h:
                block.compile(dynamic=False)
            self.cost = torch.compile(weighted_cost, dynamic=False)

    def gradients(self, window: int, random: Random) -> float:
        """Add up the gradients of one step of windows of this length; return its cost."""
        rows = max(1, self.recipe.step_ids // window)
        parts = self.recipe.windows[window][1]
        ids, weights = self.sampler.batch(rows, window + 1, parts, random)
        tokens = torch.from_numpy(ids).to(self.device)
        heavy = torch.from_numpy(weights).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.model(tokens[:, :-1])
        value = self.cost(logits, tokens[:, 1:], heavy[:, 1:])
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    def seconds_a_step(self) -> float:
        """Compile and time every window length, without changing the model; return the mean."""
        mean = 0.0
        for window, (share, _) in self.recipe.windows.items():
            times = []
            for number in range(1 + TIMED_STEPS):
                began = time.monotonic()
                self.gradients(window, Random(number))
                self.apply(0.0)
                times.append(time.monotonic() - began)
            mean += share * min(times[1:])
        for stepper in self.optimizers:
            stepper.state.clear()
        return mean

    def apply(self, factor: float) -> None:
        """Take one step with the learning rates times `factor`, and forget the gradients."""
        for stepper, base in zip(self.optimizers, self.bases, strict=True):
            stepper.param_groups[0]["lr"] = base * factor
            stepper.step()
            stepper.zero_grad()

    def step(self, progress: Progress) -> float:
        """Take the next step of a run; return its cost in nats."""
        random = Random(f"{progress.seed} {progress.done}")
        shares = [share for share, _ in self.recipe.windows.values()]
        window = random.choices(list(self.recipe.windows), shares)[0]
        value = self.gradients(window, random)
        self.apply(rate_factor(progress.done / progress.steps))
        progress.done += 1
        progress.ids += self.recipe.step_ids
        return value


def grow(model: nn.Module, state: Mapping[str, Tensor], layers: int) -> None:
    """Put the weights of a model with `layers` layers into one with as many or more.

    The old layers are spread evenly over the new depth. The others keep their fresh weights, with
    which they pass on what they get, so that the model begins as good as the old one.
    """
    depth = len(model.transformer.h)  # type: ignore[union-attr, arg-type]
    places = {old: old * depth // layers for old in range(layers)}

    def moved(name: str) -> str:
        parts = name.split(".")
        if parts[:2] == ["transformer", "h"]:
            parts[2] = str(places[int(parts[2])])
        return ".".join(parts)

    own = model.state_dict()
    model.load_state_dict(own | {moved(name): weight.float() for name, weight in state.items()})


def save_state(trainer: Trainer, progress: Progress, file: Path) -> None:
    """Write all that a later run needs, beside its place first."""
    content = {
        "model": trainer.model.state_dict(),
        "optimizers": [stepper.state_dict() for stepper in trainer.optimizers],
        "progress": asdict(progress),
    }
    with atomic_write(file) as draft:
        torch.save(content, draft)


def load_state(trainer: Trainer, file: Path) -> Progress:
    """Put a saved run's weights and optimizers in place; return how far it was."""
    content: dict[str, Any] = torch.load(file, map_location=trainer.device, weights_only=True)
    trainer.model.load_state_dict(content["model"])
    for stepper, state in zip(trainer.optimizers, content["optimizers"], strict=True):
        stepper.load_state_dict(state)
    return Progress(**content["progress"])
