"""Options that several commands share, each written once; a command gets those of a group as one.

@click.command()
@model_options(bundle_argument)
def serve(model: ModelOptions) -> None: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from ..engine.sampling import Sampling
from ..model import Model
from ..opening.demo import demo_bundle
from ..opening.load import load
from ..opening.plan import PREFILL
from .params import PATH, engine_option, trust_options

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def bundle_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take a bundle, and what it has to be."""
    named = click.option("--bundle", type=PATH, help="The bundle's folder; the demo's by default.")
    return named(trust_options(command))


VARIANT = click.option(
    "--variant",
    help="int4, int8, fp32, fp16, or hybrid (int8 evaluates prompts, int4 generates); by default "
    "the best for the device.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
THREADS = click.option("--threads", type=int, help="CPU threads; one a physical core by default.")
_LOADING = (
    VARIANT,
    DEVICE,
    THREADS,
    engine_option,
    click.option(
        "--prefill",
        default=PREFILL[0],
        show_default=True,
        help="What evaluates prompts: same (the engine above) or openvino (int4).",
    ),
    click.option(
        "--caches",
        type=PATH,
        help="A folder for KV caches, which the next start reuses. They hold your text.",
    ),
    click.option(
        "--cache-type",
        help="What KV caches of the native kernels hold: fp32, fp16 or int8; by default the "
        "smallest that loses nothing to speak of.",
    ),
    click.option(
        "--context",
        type=int,
        help="Tokens of prompt and answer; fewer than the model's take less memory.",
    ),
    click.option(
        "--copy-weights",
        is_flag=True,
        help="Read the weights into memory: a mapped file that is cut short ends the process.",
    ),
)


@dataclass(frozen=True)
class ModelOptions:
    """Which bundle is opened, and how."""

    bundle: Path | None
    variant: str | None
    device: str
    threads: int | None
    engine: str
    prefill: str
    caches: Path | None
    cache_type: str | None
    context: int | None
    copy_weights: bool

    def folder(self, say: Callable[[str], None]) -> Path:
        """Return the bundle that was named, or the demo's; `say` that then.

        Raises:
            BundleError: when none was named and there is no demo's.

        """
        if self.bundle is not None:
            return self.bundle
        bundle = demo_bundle()
        say("using the demo bundle, a toy model; name another")
        return bundle

    def load(self, bundle: Path) -> Model:
        """Open a bundle by these options.

        Raises:
            RefactEdgeError: as `refact_edge.load` does.

        """
        return load(
            bundle,
            variant=self.variant,
            device=self.device,
            threads=self.threads,
            engine=self.engine,
            prefill=self.prefill,
            caches=self.caches,
            copy_weights=self.copy_weights,
            kv_type=self.cache_type,
            context=self.context,
        )


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn; None takes the model's default."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    seed: int | None

    def sampling(self, model: Model) -> Sampling:
        """Return the model's default sampling with these values in its place.

        Raises:
            OptionError: when a value is outside its range; lists all that are.

        """
        return model.sampling_with(**vars(self))


TEMPERATURE = click.option("--temperature", type=float, help="0 is greedy.")
TOP_K = click.option("--top-k", type=int, help="Keep the k likeliest tokens; 0 keeps all.")
TOP_P = click.option("--top-p", type=float, help="Keep the likeliest tokens up to this share.")
_SAMPLING = (
    TEMPERATURE,
    TOP_K,
    TOP_P,
    click.option("--min-p", type=float, help="Drop tokens below this share of the likeliest."),
    click.option("--repetition-penalty", type=float, help="Over 1 avoids repeating."),
    click.option("--seed", type=int, help="The same seed gives the same text."),
)


def gathered(name: str, kind: type[Any], options: Sequence[Decorator]) -> Decorator:
    """Add `options` to a command, which gets their values as one argument: a dataclass `kind`.

    Its fields are the options' names.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def gathering(**arguments: Any) -> None:
            values = {field.name: arguments.pop(field.name) for field in fields(kind)}
            command(**{name: kind(**values)}, **arguments)

        decorated: Callable[..., None] = gathering
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def model_options(bundle: Decorator) -> Decorator:
    """Add the options of opening a model, as `model`; its bundle is an argument or an option."""
    return gathered("model", ModelOptions, (bundle, *_LOADING))


sampling_options = gathered("sampling", SamplingOptions, _SAMPLING)
