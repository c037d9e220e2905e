"""Weights rounded one after the other, each for what the rounded ones before it make.

There are two streams, the exact model's and the rounded one's, so that every product sees what has
gone wrong before it and is rounded to what makes good a part of that (quant/targets.py). Errors of
its own are weighed by how much the loss minds them (quant/two_sided.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..quant.gptq import Relations, pack_compensated, relations
from ..quant.moments import Crossed, Moments
from ..quant.pack import Array, Error, Packed, pack, unpack
from ..quant.schemes import Floats, Scheme
from ..quant.targets import Drift, aimed
from ..quant.two_sided import outputs_of, pack_two_sided
from ..runtime.bundle.contract import INPUT_IDS
from .decoder import STREAM
from .fisher import EMBEDDED, Fisher
from .layerwise import Floating, Ids, Layerwise
from .roles import WeightSpec
from .scratch import Scratch
from .stage_graph import StageGraph
from .weights import Result, form_of, quantized, result_of

Weights = Mapping[str, Floating]


@dataclass(frozen=True)
class Steps:
    """What rounding minds: all of it, but for those who measure what each brings."""

    embedding: bool = True  # which directions of the stream the loss minds
    outputs: bool = True  # which outputs of a product
    targets: bool = True  # what went astray before


ALL_STEPS = Steps()

# Of the inputs' moments, more than GPTQ's: with targets, what is noise in them does more harm.
# Measured together with the groups and the damping of two_sided.py: bench/RESULTS.md.
DAMPING = 0.03


class Sequential:
    """One variant of a rotated model under way."""

    def __init__(
        self,
        model: Layerwise,
        scheme: Scheme,
        texts: Sequence[Ids],
        fisher: Fisher,
        steps: Steps = ALL_STEPS,
    ) -> None:
        """Begin; `fisher` is what `observe` has left of the same model and texts."""
        self._steps = steps
        self._model, self._scheme, self._texts, self._fisher = model, scheme, texts, fisher
        self._stream: list[Floating] = []  # of the rounded model

    def run(self, specs: Mapping[str, WeightSpec], scratch: Scratch) -> Iterator[list[Result]]:
        """Yield the weights of each stage; `specs` are the variant's own, by name.

        Stages that lie in `scratch` are those that were rounded before.
        """
        last = self._model.layers + 1
        for number in range(last + 1):
            if (name := f"stage.{number}") in scratch:
                yield _loaded(scratch.load(name), specs, self._scheme)
                continue
            if number:
                self._stream = self._fisher.split(scratch.load(_stream(number - 1))["texts"])
            results = self._stage(number, specs)
            scratch.save(_stream(number), {"texts": np.concatenate(self._stream)})
            scratch.save(name, _saved(results))
            scratch.drop(_stream(number - 1))
            yield results

    def _stage(self, number: int, specs: Mapping[str, WeightSpec]) -> list[Result]:
        if number == 0:
            return self._embedding(specs)
        if number > self._model.layers:
            return self._head(specs)
        return self._layer(number, specs)

    def _embedding(self, specs: Mapping[str, WeightSpec]) -> list[Result]:
        """Round the table for how much the loss minds each direction of the stream."""
        stage = self._model.stage(0)
        (second,) = self._fisher.moments(EMBEDDED)
        minded = relations(second, DAMPING) if self._steps.embedding else None
        results = []
        for spec in stage.specs:
            own, weight = specs[spec.name], stage.weights[spec.name]
            packed = quantized(weight, form_of(own, self._scheme), minded)
            results.append(Result(own, packed))
        rounded = {result.spec.name: unpack(result.packed) for result in results}
        self._stream = list(self._model.embedded(self._texts, rounded))
        return results

    def _layer(self, number: int, specs: Mapping[str, WeightSpec]) -> list[Result]:
        """Round the weights of a layer, those that read the same input together."""
        stage = self._model.stage(number)
        exact = self._fisher.stream(number - 1)
        layer = _LayerUnderWay(self._model.layer, stage.weights, self._texts, exact, self._stream)
        results: dict[str, Result] = {}
        for names in layer.groups():
            written = any(specs[name].writer == name for name in names)
            drift = layer.drift(names[0], written=written)
            activations = relations(drift.second, DAMPING)
            for name in names:
                packed = self._packed(specs[name], stage.weights[name], drift, activations)
                results[name] = result_of(specs[name], stage.weights[name], packed, activations)
                layer.replace(name, unpack(packed), written=written)
        self._stream = layer.after(self._fisher.stream(number))
        return [results.get(spec.name) or self._plain(spec, stage.weights) for spec in stage.specs]

    def _packed(
        self, spec: WeightSpec, weight: Floating, drift: Drift, activations: Relations
    ) -> Packed:
        form = form_of(spec, self._scheme)
        if isinstance(form, Floats):
            return pack(weight, form)
        if self._steps.targets:
            weight = aimed(weight, drift)
        if not self._steps.outputs:
            return pack_compensated(weight, form, activations)
        outputs = [outputs_of(part) for part in self._fisher.moments(spec.name)]
        return pack_two_sided(weight, form, activations, outputs)

    def _plain(self, spec: WeightSpec, weights: Weights) -> Result:
        weight = weights[spec.name]
        return Result(spec, pack(weight, form_of(spec, self._scheme)))

    def _head(self, specs: Mapping[str, WeightSpec]) -> list[Result]:
        """Round what makes logits, for what reaches it; its codes are fine, and its rows many."""
        stage = self._model.stage(-1)
        graph = self._model.head
        (tap,) = set(graph.taps.values())
        fed = graph.fed({spec.name: stage.weights[spec.name] for spec in graph.specs})
        moments = Moments()
        for x in self._stream:
            moments.add(graph.run(fed, {STREAM: x}, [tap])[tap])
        activations = relations(moments.second, DAMPING)
        results = []
        for spec in stage.specs:
            if own := specs.get(spec.name):
                weight = stage.weights[spec.name]
                packed = quantized(weight, form_of(own, self._scheme), activations)
                results.append(result_of(own, weight, packed, activations if own.rounds else None))
        return results


def _saved(results: Sequence[Result]) -> dict[str, Array]:
    """Return packed weights as arrays; see `_loaded`."""
    arrays: dict[str, Array] = {}
    for result in results:
        name, error = result.spec.name, result.packed.error
        lost = math.nan if result.output_error is None else result.output_error
        arrays[f"{name}:"] = np.array([error.squared, error.energy, error.largest, lost])
        arrays |= {f"{name}:{part}": array for part, array in result.packed.parts.items()}
    return arrays


def _loaded(
    arrays: Mapping[str, Array], specs: Mapping[str, WeightSpec], scheme: Scheme
) -> list[Result]:
    """Return the packed weights of a stage that `_saved` made arrays of."""
    parts: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        name, _, part = key.rpartition(":")
        parts.setdefault(name, {})[part] = array
    results = []
    for name, own in parts.items():
        squared, energy, largest, lost = map(float, own.pop("").tolist())
        rows, columns = (1, *specs[name].shape)[-2:]
        form = form_of(specs[name], scheme)
        packed = Packed(form, (rows, columns), own, Error(squared, energy, largest))
        results.append(Result(specs[name], packed, None if math.isnan(lost) else lost))
    return results


def _stream(number: int) -> str:
    return f"stream.{number}"


class _LayerUnderWay:
    """A layer of which some weights are rounded already; streams are lists, a text each."""

    def __init__(
        self,
        graph: StageGraph,
        weights: Weights,
        texts: Sequence[Ids],
        exact: Sequence[Floating],
        rounded: Sequence[Floating],
    ) -> None:
        """Begin with the streams of the exact model and of the rounded one."""
        self._graph, self._texts = graph, texts
        self._weights, self._rounded = weights, dict(weights)
        self._taps = graph.taps_of(weights)
        self._stream = rounded
        self._exact_inputs = list(self._run(weights, exact, [*dict.fromkeys(self._taps.values())]))
        self._inputs: list[Floating] = []  # of the product that was looked at last
        # What the stream has lost before the next write: exact less rounded.
        self._astray = [e - q for e, q in zip(exact, rounded, strict=True)]

    def groups(self) -> list[list[str]]:
        """Return the names of weights that read the same input, in the order of the layer."""
        return [
            [name for name, tap in self._taps.items() if tap == each]
            for each in dict.fromkeys(self._taps.values())
        ]

    def drift(self, name: str, *, written: bool) -> Drift:
        """Return how far the rounded model has gone astray at the input of a weight.

        With `written`, what it makes is added to the stream.
        """
        tap = self._taps[name]
        second, crossed, stream = Moments(), Crossed(), Crossed()
        self._inputs = [outputs[tap] for outputs in self._run(self._rounded, self._stream, [tap])]
        for exact, x, astray in zip(self._exact_inputs, self._inputs, self._astray, strict=True):
            second.add(x)
            crossed.add(exact[tap], x)
            if written:
                stream.add(astray, x)
        return Drift(second.second, crossed.mean, stream.mean if written else None, second.rows)

    def replace(self, name: str, weight: Floating, *, written: bool) -> None:
        """Go on with a rounded weight."""
        self._rounded[name] = weight
        if written:
            exact, tap = self._weights[name], self._taps[name]
            self._astray = [
                astray + xe[tap] @ exact.T - xq @ weight.T
                for astray, xe, xq in zip(
                    self._astray, self._exact_inputs, self._inputs, strict=True
                )
            ]

    def after(self, exact: Sequence[Floating]) -> list[Floating]:
        """Return the rounded model's stream behind the layer, for the exact model's there."""
        return [e - astray for e, astray in zip(exact, self._astray, strict=True)]

    def _run(
        self, weights: Weights, stream: Sequence[Floating], only: Sequence[str]
    ) -> Iterator[dict[str, Floating]]:
        fed = self._graph.fed(weights)
        for ids, x in zip(self._texts, stream, strict=True):
            yield self._graph.run(fed, {INPUT_IDS: ids[None], STREAM: x}, only)
