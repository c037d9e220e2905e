"""The model in full precision, a layer at a time.

A layer's weights are read when its turn comes and given up after it; between the layers only the
stream of activations of all texts is kept. One graph serves every layer: weights are its inputs.
At the full size that is 2 GB instead of 7, and every input of every product can be seen.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..quant.moments import Moments
from ..quant.rotation import rotation
from ..quant.sensitivity import Readout
from ..runtime.backends import denormals
from ..runtime.backends.onnxruntime import import_onnxruntime
from ..runtime.bundle.contract import INPUT_IDS, LOGITS
from ..runtime.bundle.decoder import HEAD, LAST_NORM, Decoder
from ..runtime.bundle.places import Part, Place
from .decoder import STREAM, STREAM_OUT, build_embedding, build_head, build_layer
from .graph import Graph
from .inspect import Inspected
from .products import Weights
from .roles import WeightSpec, by_stage, norm_matrix_spec, rotation_spec, weight_specs
from .rotated import may_share, rotated, rotated_decoder
from .weights import Stage

Floating = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Build = Callable[[Graph, Decoder, Weights], None]

_APART = 8  # positions between logits that are looked at


class Layerwise:
    """A checkpoint that is evaluated stage by stage, as it is or rotated (see rotated.py)."""

    def __init__(self, checked: Inspected, *, rotated: bool = False) -> None:
        self._checked, self._rotated = checked, rotated
        # By stages, a tied head has its own copy of the embedding.
        self._plain = replace(checked.decoder, tied=False)
        self._decoder = rotated_decoder(self._plain) if rotated else self._plain
        self._sources = by_stage(weight_specs(self._plain))
        self._stages = by_stage(weight_specs(self._decoder))
        self._layers = self._stages[1:-1]
        shared = rotated and may_share(checked.decoder)
        self._beside = [norm_matrix_spec(checked.decoder)] if shared else []

    @property
    def specs(self) -> list[WeightSpec]:
        """What its stages have, in their order: more than one variant has, of a shared head."""
        return [*itertools.chain(*self._stages), *self._beside]

    # Graphs are made when they are run first: `stages` runs none, and needs no onnxruntime.
    @functools.cached_property
    def _embedding(self) -> _Graph:
        return _Graph(build_embedding, self._decoder, self._stages[0])

    @functools.cached_property
    def _layer(self) -> _Graph:
        more = [rotation_spec(self._decoder)] if self._rotated else []
        return _Graph(build_layer, self._decoder, self._layers[0], more)

    @functools.cached_property
    def _head(self) -> _Graph:
        return _Graph(build_head, self._decoder, self._stages[-1])

    def calibrate(self, texts: Sequence[Ids]) -> Iterator[Stage]:
        """Yield every stage, in the order of `specs`, after all texts went through it."""
        weights = self._read(0)
        stream = list(self._embedded(texts, weights))
        yield Stage(self._embedding.specs, weights, {}, _energy(stream))
        for number, specs in enumerate(self._layers, 1):
            weights = self._read(number)
            moments = self._pass(self._layer, weights, texts, stream)
            yield Stage(tuple(specs), weights, moments, _energy(stream))
        weights = self._read(-1)
        readout = Readout(weights[HEAD] * np.float32(self._decoder.logit_scale))
        moments = self._pass(self._head, weights, texts, stream, readout=readout)
        moments |= {spec.name: moments[HEAD] for spec in self._beside}
        yield self._with_beside(Stage(self._head.specs, weights, moments, readout=readout))

    def stages(self) -> Iterator[Stage]:
        """Yield every stage without running it: nothing is seen of what weights multiply."""
        for number, specs in enumerate(self._stages[:-1]):
            yield Stage(tuple(specs), self._read(number), {})
        yield self._with_beside(Stage(tuple(self._stages[-1]), self._read(-1), {}))

    def _with_beside(self, head: Stage) -> Stage:
        """Return the head's stage with what a head shared with the embedding has instead."""
        norm = f"{LAST_NORM}.weight"
        weights = {norm: self._checked.weight(norm)} if self._beside else {}
        beside = rotated(self._plain, self._beside, weights)
        return replace(head, specs=(*head.specs, *self._beside), weights=head.weights | beside)

    def evaluate(
        self,
        texts: Sequence[Ids],
        advance: Callable[[int], None],
        weights: Mapping[str, Floating] | None = None,
    ) -> Callable[[], Iterator[Floating]]:
        """Run all layers, and return what yields the logits [T, V] of each text, as often as asked.

        Logits are large and made anew each time from the stream behind the last layer. `advance` is
        called once a layer. `weights` [N, K] stand in for the checkpoint's.
        """

        def read(number: int, specs: Sequence[WeightSpec]) -> dict[str, Floating]:
            if weights is None:
                return self._read(number)
            return {spec.name: weights[spec.name] for spec in specs}

        stream = list(self._embedded(texts, read(0, self._embedding.specs)))
        for number, specs in enumerate(self._layers, 1):
            self._pass(self._layer, read(number, specs), texts, stream, watched=False)
            advance(1)
        fed = self._head.fed(read(-1, self._head.specs))
        return lambda: (self._head.run(fed, {STREAM: x})[LOGITS] for x in stream)

    def _embedded(
        self, texts: Sequence[Ids], weights: Mapping[str, Floating]
    ) -> Iterator[Floating]:
        fed = self._embedding.fed(weights)
        for ids in texts:
            yield self._embedding.run(fed, {INPUT_IDS: ids[None]})[STREAM_OUT]

    def _read(self, number: int) -> dict[str, Floating]:
        """Return the weights [N, K] of a stage."""
        names = [spec.name for spec in self._sources[number]]
        weights = {name: self._checked.weight(name) for name in names}
        if not self._rotated:
            return weights
        return rotated(self._plain, self._stages[number], weights)

    @staticmethod
    def _pass(
        part: _Graph,
        weights: Mapping[str, Floating],
        texts: Sequence[Ids],
        stream: list[Floating],
        *,
        watched: bool = True,
        readout: Readout | None = None,
    ) -> dict[str, Moments]:
        """Send all texts through a part; return the moments of what its weights multiply.

        Some of the logits, where there are any, go into the readout.
        """
        seen = {tap: Moments() for tap in part.taps.values()} if watched else {}
        fed = part.fed(weights)
        for i, ids in enumerate(texts):
            outputs = part.run(fed, {INPUT_IDS: ids[None], STREAM: stream[i]})
            for tap, moments in seen.items():
                moments.add(outputs[tap])
            stream[i] = outputs.get(STREAM_OUT, stream[i])
            if readout is not None:
                readout.add(outputs[LOGITS][::_APART])
        names = dict(zip((spec.name for spec in part.specs), weights, strict=True))
        return {names[weight]: seen[tap] for weight, tap in part.taps.items() if tap in seen}


class _Graph:
    """A part of the model as a graph whose inputs are weights and activations."""

    def __init__(
        self,
        build: Build,
        decoder: Decoder,
        specs: Sequence[WeightSpec],
        more: Sequence[WeightSpec] = (),
    ) -> None:
        """Build and open it; `taps` names the output that shows what a weight is multiplied with.

        It runs with the weights of any specs of the same shapes in the same order. `more` are those
        that are the same for all: rotations.
        """
        self.specs = tuple(specs)
        self._same = {spec.name: _laid_out(spec, rotation(spec.shape[0])) for spec in more}
        graph = Graph("part", None)
        places = {spec.name: _place(spec) for spec in (*specs, *more)}
        build(graph, decoder, Weights(places, "float32"))
        self.taps = _tapped(graph, specs)
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

    def run(
        self, fed: Mapping[str, Floating], activations: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, Floating]:
        """Run it with weights from `fed`; activations that it has no use for are left out."""
        feeds = {name: array for name, array in activations.items() if name in self._inputs}
        with denormals.as_zeros():
            outputs = self._session.run(self._outputs, {**feeds, **fed})
        return dict(zip(self._outputs, outputs, strict=True))


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


def _energy(stream: Sequence[Floating]) -> float:
    """Return the mean over all tokens of the sum of squares of their activations."""
    return sum(float(np.vdot(x, x)) for x in stream) / sum(map(len, stream))


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
