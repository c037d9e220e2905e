"""Gradients that a graph makes are those that small changes show, for decoders of all kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from decoders import DECODERS, decoder
from more_decoders import MORE

from refact_edge.export.decoder import STREAM, STREAM_OUT, build_head, build_layer
from refact_edge.export.gradients import add_gradients
from refact_edge.export.graph import Graph
from refact_edge.export.roles import by_stage, weight_specs
from refact_edge.export.stage_graph import GRADIENT, STREAM_GRADIENT, Build, Feeds, StageGraph
from refact_edge.runtime.bundle.contract import INPUT_IDS, LOGITS
from refact_edge.runtime.bundle.decoder import Decoder

TOKENS = 24
SMALL = 2e-3  # of a stream's numbers, which are near 1
Floating = npt.NDArray[np.float32]


class Stage:
    """A layer or the head of a decoder, with random weights, forwards and back."""

    def __init__(self, decoder: Decoder, build: Build, number: int, output: str) -> None:
        random = np.random.default_rng(3)
        self.specs = by_stage(weight_specs(decoder))[number]
        self.weights = {
            spec.name: random.normal(spec.role == "norm", 0.1, spec.shape).astype(np.float32)
            for spec in self.specs
        }
        self.forth = StageGraph(build, decoder, self.specs)
        self.back = StageGraph(build, decoder, self.specs, back_from=output)
        self.output = output
        self.x = random.normal(0, 1, (TOKENS, decoder.width)).astype(np.float32)
        self.ids = np.zeros((1, TOKENS), np.int64)
        size = decoder.vocabulary if output == LOGITS else decoder.width
        self.slope = random.normal(0, 1, (TOKENS, size)).astype(np.float32)

    def loss(self, x: Floating, weights: dict[str, Floating]) -> float:
        """Return the sum of what the stage makes, each number times its slope."""
        feeds: Feeds = {STREAM: x, INPUT_IDS: self.ids}
        made = self.forth.run(self.forth.fed(weights), feeds)[self.output]
        return float(np.vdot(made.astype(np.float64), self.slope.astype(np.float64)))

    def gradients(self) -> dict[str, Floating]:
        feeds: Feeds = {STREAM: self.x, INPUT_IDS: self.ids, GRADIENT: self.slope}
        return self.back.run(self.back.fed(self.weights), feeds)

    def inputs(self) -> dict[str, Floating]:
        feeds: Feeds = {STREAM: self.x, INPUT_IDS: self.ids}
        outputs = self.forth.run(self.forth.fed(self.weights), feeds)
        return {weight: outputs[tap] for weight, tap in self.forth.taps.items()}


def _close(change: float, foretold: float, size: float) -> None:
    assert abs(change - foretold) < 0.02 * size, f"{change} and not {foretold}, of {size}"


STAGES = {"layer": (build_layer, 1, STREAM_OUT), "head": (build_head, -1, LOGITS)}


@pytest.mark.parametrize("name", [*DECODERS, *MORE])
@pytest.mark.parametrize("part", STAGES)
def test_a_small_change_of_the_stream_changes_the_sum_as_its_gradient_says(
    part: str, name: str
) -> None:
    facts = replace(decoder(name), tied=False)  # as by stages, a head has its own weights
    stage = Stage(facts, *STAGES[part])
    gradient = stage.gradients()[STREAM_GRADIENT]
    random = np.random.default_rng(5)
    for _ in range(3):
        step = random.normal(0, SMALL, stage.x.shape).astype(np.float32)
        more, less = (stage.loss(stage.x + sign * step, stage.weights) for sign in (1, -1))
        size = float(np.linalg.norm(gradient)) * SMALL
        _close((more - less) / 2, float(np.vdot(gradient, step)), size)


@pytest.mark.parametrize("name", [*DECODERS, *MORE])
def test_a_small_change_of_a_weight_changes_the_sum_as_its_products_gradient_says(
    name: str,
) -> None:
    stage = Stage(decoder(name), *STAGES["layer"])
    gradients, inputs = stage.gradients(), stage.inputs()
    random = np.random.default_rng(5)
    assert stage.back.taps.keys() == stage.forth.taps.keys()
    for weight, tap in stage.back.taps.items():
        gradient = gradients[tap].T @ inputs[weight]  # of the weight [N, K] itself
        step = random.normal(0, SMALL / 10, gradient.shape).astype(np.float32)
        more, less = (
            stage.loss(stage.x, stage.weights | {weight: stage.weights[weight] + sign * step})
            for sign in (1, -1)
        )
        size = float(np.linalg.norm(gradient)) * SMALL / 10
        _close((more - less) / 2, float(np.vdot(gradient, step)), size)


def test_an_operator_without_a_rule_is_named() -> None:
    g = Graph("odd", None)
    x = g.input("x", "float32", [2])
    y = g.op("Abs", x)
    with pytest.raises(NotImplementedError, match="Abs"):
        add_gradients(g, {y: "after"}, [x])
