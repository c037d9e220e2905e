"""A GPU's figures: ours by `bench --device cuda`, beside transformers' own class in the same run.

Usage: python -m bench.gpu OUT [--shape qwen2.5-coder-0.5b] [--rounds 3]

Random weights of a published shape: these figures are of speed and memory, never of quality. Ours
and the peer's are measured in turns. Refact's class is not among transformers'. Its reference has
no cache, and is timed on prompts alone.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from refact_edge.export.fabricate import decoder_of_shape
from refact_edge.export.published import shape_of
from refact_edge.export.shapes import fabricate_shape
from refact_edge.runtime.bench.card import (
    DEPTHS,
    PROMPTS,
    TIMED,
    CardFigures,
    card_lines,
    measure_card,
)
from refact_edge.runtime.console.cli import progress_bar

SHAPES = ("refact-1.6b", "qwen2.5-coder-0.5b")
VARIANTS = ("fp16", "int4")
REFACT = "gpt_refact"

Figures = dict[str, dict[int, float]]


def _quiet(_done: int) -> None:
    """Show no progress."""


class Peer:
    """A torch model in halves on the GPU, of random weights."""

    def __init__(self, name: str) -> None:
        """Make the model of a published shape."""
        import torch

        self._torch, shape = torch, shape_of(name)
        self._cached = shape.config["model_type"] != REFACT
        self._tokens = shape.tokens
        with torch.device("cuda"):
            made = _transformers(shape.config) if self._cached else _reference(name)
        self._model = made.half().eval()

    def figures(self) -> Figures:
        """Return milliseconds of prompts, and of single tokens by depth where there is a cache."""
        with self._torch.inference_mode():
            prompts = {tokens: self._prompt_ms(tokens) for tokens in PROMPTS}
            depths = {depth: self._token_ms(depth) for depth in DEPTHS if self._cached}
        return {"prompt_ms": prompts, "token_ms": depths}

    def _ids(self, count: int) -> Any:
        return self._torch.randint(self._tokens, (1, count), device="cuda")

    def _timed_ms(self, work: Callable[[], object], times: int) -> float:
        times_ms = []
        for _ in range(times + 1):
            self._torch.cuda.synchronize()
            start = perf_counter()
            work()
            self._torch.cuda.synchronize()
            times_ms.append(1e3 * (perf_counter() - start))
        return statistics.median(times_ms[1:])

    def _prompt_ms(self, tokens: int) -> float:
        ids = self._ids(tokens)
        how = {"use_cache": True, "logits_to_keep": 1} if self._cached else {}
        return self._timed_ms(lambda: self._model(ids, **how), 2)

    def _token_ms(self, depth: int) -> float:
        """Time single tokens as `generate` has them: each grows the cache by one."""
        cache = self._model(self._ids(depth), use_cache=True, logits_to_keep=1).past_key_values
        token = self._ids(1)
        return self._timed_ms(
            lambda: self._model(token, past_key_values=cache, use_cache=True).logits.argmax(), TIMED
        )


def _transformers(config: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    content = {key: value for key, value in config.items() if key != "architectures"}
    auto: Any = AutoModelForCausalLM  # transformers leaves its methods untyped
    return auto.from_config(AutoConfig.for_model(content.pop("model_type"), **content))


def _reference(name: str) -> Any:
    from refact_edge.export.reference.gpt_refact import GPTRefact

    decoder = decoder_of_shape(shape_of(name))
    return GPTRefact(
        vocabulary=decoder.vocabulary,
        width=decoder.width,
        heads=decoder.attention.heads,
        layers=decoder.layers,
        inner=decoder.mlp.hidden,
        epsilon=decoder.norm.epsilon,
    )


def _ours(bundle: Path) -> dict[str, CardFigures]:
    return {variant: measure_card(bundle, variant, _quiet) for variant in VARIANTS}


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--shape", "shapes", multiple=True, default=SHAPES, help="A published model's.")
@click.option("--rounds", default=3, show_default=True, help="How often all is measured.")
@click.option("--peer/--no-peer", default=True, help="Whether torch is measured, too.")
def main(out: Path, shapes: tuple[str, ...], rounds: int, *, peer: bool) -> None:
    """Measure shapes, and write all figures into the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    for shape in shapes:
        bundle = out.with_name(f"{out.name}-bundles") / shape
        if not bundle.exists():
            bundle.parent.mkdir(exist_ok=True)
            fabricate_shape(shape, bundle, list(VARIANTS), progress_bar)
        ours: list[dict[str, CardFigures]] = []
        theirs: list[Figures] = []
        other = Peer(shape) if peer else None
        for _ in range(rounds):
            ours.append(_ours(bundle))
            theirs += [other.figures()] if other else []
        for variant in VARIANTS:
            for line in card_lines(ours[-1][variant]):
                click.echo(line)
            click.echo("")
        for figures in theirs[-1:]:
            click.echo(f"torch in halves: {json.dumps(figures)}\n")
        everything = {
            "ours": [{name: asdict(one) for name, one in each.items()} for each in ours],
            "torch": theirs,
        }
        (out / f"{shape}.json").write_text(json.dumps(everything, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
