"""A stage of a decoder, embedding, layer or head, as a graph whose inputs are its weights.

One graph serves all layers. Beside what the stage makes it can yield what each weight is multiplied
with, or go back: from a gradient of what it makes to those of what it reads and of its products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..quant.rotation import rotation
from ..runtime.backends import denormals
from ..runtime.backends.onnxruntime import import_onnxruntime
from ..runtime.bundle.contract import LOGITS
from ..runtime.bundle.decoder import Decoder
from ..runtime.bundle.places import Part, Place
from .decoder import STREAM
from .gradients import add_gradients
from .graph import Graph
from .products import Weights
from .roles import WeightSpec

Floating = npt.NDArray[np.float32]
Build = Callable[[Graph, Decoder, Weights], None]
Feeds = Mapping[str, npt.NDArray[Any]]

GRADIENT, STREAM_GRADIENT = "gradient_after", "gradient_before"  # of what a stage makes, and reads


class StageGraph:
    """A stage of a decoder as a graph whose inputs are weights and activations."""

    def __init__(
        self,
        build: Build,
        decoder: Decoder,
        specs: Sequence[WeightSpec],
        more: Sequence[WeightSpec] = (),
        *,
        back_from: str | None = None,
    ) -> None:
        """Build and open it.

        It runs with the weights of any specs of the same shapes in the same order. `more` are those
        that are the same for all: rotations. `taps` are its outputs by weight: what that weight is
        multiplied with or, going back from an output, the gradient of what the product yields.
        """
        self.specs = tuple(specs)
        self._same = {spec.name: _laid_out(spec, rotation(spec.shape[0])) for spec in more}
        graph = Graph("part", None)
        places = {spec.name: _place(spec) for spec in (*specs, *more)}
        build(graph, decoder, Weights(places, "float32"))
        if back_from is None:
            self.taps = _tapped(graph, specs)
        else:
            width = decoder.vocabulary if back_from == LOGITS else decoder.width
            after = graph.input(GRADIENT, "float32", ["tokens", width])
            self.taps = _backward(graph, {back_from: after}, specs, decoder.width)
        model = graph.model().SerializeToString()
        settings = import_onnxruntime().SessionOptions()
        settings.log_severity_level = 3
        # Its threads must not wait by spinning while rounding uses all CPUs.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
        with denormals.as_zeros():  # a process's first session sets its thread's state for good
            self._session = import_onnxruntime().InferenceSession(
                model, settings, providers=["CPUExecutionProvider"]
            )
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def fed(self, weights: Mapping[str, Floating]) -> dict[str, Floating]:
        """Return the weights of one stage, in the order of the specs, as the graph takes them."""
        pairs = zip(self.specs, weights.values(), strict=True)
        return self._same | {spec.name: _laid_out(spec, weight) for spec, weight in pairs}

    def taps_of(self, weights: Mapping[str, Floating]) -> dict[str, str]:
        """Return `taps` by the names of a stage's weights, which are in the order of the specs."""
        names = dict(zip((spec.name for spec in self.specs), weights, strict=True))
        return {names[weight]: tap for weight, tap in self.taps.items()}

    def run(
        self,
        fed: Mapping[str, Floating],
        activations: Feeds,
        only: Sequence[str] = (),
    ) -> dict[str, Floating]:
        """Run it with weights from `fed`; return all outputs, or some of them only.

        Activations that it has no use for are left out.
        """
        feeds = {name: array for name, array in activations.items() if name in self._inputs}
        options = import_onnxruntime().RunOptions()
        options.only_execute_path_to_fetches = bool(only)
        names = list(only) or self._outputs
        with denormals.as_zeros():
            outputs = self._session.run(names, {**feeds, **fed}, options)
        return dict(zip(names, outputs, strict=True))


def _tapped(graph: Graph, specs: Sequence[WeightSpec]) -> dict[str, str]:
    """Let a graph show what each weight is multiplied with; return the outputs by weight."""
    taps: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for spec in specs:
        if not spec.multiplies:
            continue
        value = graph.multiplied(spec.name)
        if value not in outputs:
            tap = outputs[value] = f"{spec.name}.input"
            graph.output(value, tap, "float32", ["rows", spec.shape[1]])
            outputs[tap] = tap  # it bears that name from here on
        taps[spec.name] = outputs[value]
    return taps


def _backward(
    graph: Graph, starts: Mapping[str, str], specs: Sequence[WeightSpec], width: int
) -> dict[str, str]:
    """Let a graph yield the gradients of the stream and of its products; return outputs by weight.

    There is none of the head's products: logits are many, and rounded finely.
    """
    products = {
        spec.name: graph.product(spec.name)
        for spec in specs
        if spec.multiplies and spec.role != "head"
    }
    names = add_gradients(graph, starts, [STREAM, *products.values()])
    names[STREAM] = graph.op("Identity", names[STREAM])
    graph.output(names[STREAM], STREAM_GRADIENT, "float32", ["rows", width])
    taps: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for spec in specs:
        if spec.name not in products:
            continue
        value = names[products[spec.name]]  # that of several products, which are added up
        if value not in outputs:
            outputs[value] = f"{spec.name}.gradient"
            same = graph.op("Identity", value)
            graph.output(same, outputs[value], "float32", ["rows", spec.shape[0]])
        taps[spec.name] = outputs[value]
    return taps


def _place(spec: WeightSpec) -> Place:
    """Return a weight as the graph's builders expect it, though it lies nowhere yet."""
    shape = spec.shape[::-1] if _transposed(spec) else spec.shape
    return Place("floats", spec.shape, {"values": Part("float32", shape, 0, 0)})


def _laid_out(spec: WeightSpec, weight: Floating) -> Floating:
    if _transposed(spec):
        return np.ascontiguousarray(weight.T)
    return weight.reshape(spec.shape)


def _transposed(spec: WeightSpec) -> bool:
    return spec.multiplies or spec.role == "rotation"
