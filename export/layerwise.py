"""The model in full precision, a layer at a time.

A layer's weights are read when its turn comes and given up after it; between the layers only the
stream of activations of all texts is kept. One graph serves every layer: weights are its inputs.
At the full size that is 2 GB instead of 7, and every input of every product can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..quant.moments import Moments
from ..quant.schemes import Floats
from ..quant.sensitivity import Readout
from ..runtime.backends import denormals
from ..runtime.backends.onnxruntime import import_onnxruntime
from ..runtime.bundle.contract import INPUT_IDS, LOGITS
from .architectures import STREAM, STREAM_OUT, WeightSpec
from .blocks import Stored, Weights
from .graph import Graph, Located
from .inspect import Inspected
from .rotated import turned
from .weights import Stage, load_weight

Floating = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Build = Callable[[Graph, Any, Weights], None]

_EXACT = Floats("float32")
_APART = 8  # positions between logits that are looked at


class Layerwise:
    """A checkpoint that is evaluated stage by stage, as it is or turned (see turned.py)."""

    def __init__(self, found: Inspected, *, turned: bool = False) -> None:
        architecture, self._checkpoint, self._turned = found.architecture, found.checkpoint, turned
        specs = architecture.weight_specs(found.config, set(found.checkpoint.tensors))
        embedding, *self._layers, head = by_stage(specs)
        self._embedding = _Part(architecture.build_embedding, found.config, embedding, turned)
        self._layer = _Part(architecture.build_layer, found.config, self._layers[0], turned)
        self._head = _Part(architecture.build_head, found.config, head, turned)

    def calibrate(self, texts: Sequence[Ids]) -> Iterator[Stage]:
        """Yield every stage, in the order of `weight_specs`, after all texts went through it."""
        weights = self._read(self._embedding.specs)
        stream = list(self._embedded(texts, weights))
        yield Stage(self._embedding.specs, weights, {}, _energy(stream))
        for specs in self._layers:
            weights = self._read(specs)
            moments = self._pass(self._layer, weights, texts, stream)
            yield Stage(tuple(specs), weights, moments, _energy(stream))
        weights = self._read(self._head.specs)
        readout = Readout(weights[self._head.specs[-1].name])
        moments = self._pass(self._head, weights, texts, stream, readout=readout)
        yield Stage(self._head.specs, weights, moments, readout=readout)

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

        def read(specs: Sequence[WeightSpec]) -> dict[str, Floating]:
            if weights is None:
                return self._read(specs)
            return {spec.name: weights[spec.name] for spec in specs}

        stream = list(self._embedded(texts, read(self._embedding.specs)))
        for specs in self._layers:
            self._pass(self._layer, read(specs), texts, stream, watched=False)
            advance(1)
        fed = self._head.fed(read(self._head.specs))
        return lambda: (self._head.run(fed, {STREAM: x})[LOGITS] for x in stream)

    def _embedded(
        self, texts: Sequence[Ids], weights: Mapping[str, Floating]
    ) -> Iterator[Floating]:
        fed = self._embedding.fed(weights)
        for ids in texts:
            yield self._embedding.run(fed, {INPUT_IDS: ids[None]})[STREAM_OUT]

    def _read(self, specs: Sequence[WeightSpec]) -> dict[str, Floating]:
        weights = {spec.name: load_weight(self._checkpoint, spec) for spec in specs}
        return turned(specs, weights) if self._turned else weights

    @staticmethod
    def _pass(
        part: _Part,
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
            found = part.run(fed, {INPUT_IDS: ids[None], STREAM: stream[i]})
            for tap, moments in seen.items():
                moments.add(found[tap])
            stream[i] = found.get(STREAM_OUT, stream[i])
            if readout is not None:
                readout.add(found[LOGITS][::_APART])
        names = dict(zip((spec.name for spec in part.specs), weights, strict=True))
        return {names[weight]: seen[tap] for weight, tap in part.taps.items() if tap in seen}


class _Part:
    """A graph whose inputs are weights and activations."""

    def __init__(
        self, build: Build, config: object, specs: Sequence[WeightSpec], turned: bool
    ) -> None:
        """Build and open it; `taps` names the output that shows what a weight is multiplied with.

        It runs with the weights of any specs of the same shapes in the same order.
        """
        self.specs = tuple(specs)
        graph = Graph("part", None)
        stored = {spec.name: _stored(spec) for spec in specs}
        build(graph, config, Weights(stored, "float32", turned))
        self.taps: dict[str, str] = {}
        shown: dict[str, str] = {}
        for spec in specs:
            if not spec.multiplies:
                continue
            value = graph.multiplied(spec.name)
            if value not in shown:
                shown[value] = f"{spec.name}.input"
                graph.output(value, shown[value], "float32", ["rows", spec.shape[1]])
                shown[shown[value]] = shown[value]  # it bears that name from here on
            self.taps[spec.name] = shown[value]
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
        return {spec.name: _laid_out(spec, weight) for spec, weight in pairs}

    def run(
        self, fed: Mapping[str, Floating], activations: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, Floating]:
        """Run it with weights from `fed`; activations that it has no use for are left out."""
        given = {name: array for name, array in activations.items() if name in self._inputs}
        with denormals.as_zeros():
            found = self._session.run(self._outputs, {**given, **fed})
        return dict(zip(self._outputs, found, strict=True))


def by_stage(specs: Sequence[WeightSpec]) -> list[list[WeightSpec]]:
    """Return the specs of the embedding, of each layer, and of the head, in this order."""
    layers = sorted({spec.layer for spec in specs if spec.layer is not None})
    outside = [spec for spec in specs if spec.layer is None]
    return [
        [spec for spec in outside if spec.role == "embedding"],
        *([spec for spec in specs if spec.layer == layer] for layer in layers),
        [spec for spec in outside if spec.role != "embedding"],
    ]


def _energy(stream: Sequence[Floating]) -> float:
    """Return the mean over all tokens of the sum of squares of their activations."""
    return sum(float(np.vdot(x, x)) for x in stream) / sum(map(len, stream))


def _stored(spec: WeightSpec) -> Stored:
    """Return a weight as the graph's builders expect it, though it lies nowhere yet."""
    rows, columns = (1, *spec.shape)[-2:]
    shape = {"embedding": (rows, columns), "norm": (columns,)}.get(spec.role, (columns, rows))
    return Stored(_EXACT, (rows, columns), {"values": Located("float32", shape, 0, 0)})


def _laid_out(spec: WeightSpec, weight: Floating) -> Floating:
    if spec.multiplies:
        return np.ascontiguousarray(weight.T)
    return weight if spec.role == "embedding" else weight.reshape(-1)
