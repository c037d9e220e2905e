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

import numpy as np
import numpy.typing as npt

from ..quant.moments import Moments
from ..quant.sensitivity import Readout
from ..runtime.bundle.contract import INPUT_IDS, LOGITS
from ..runtime.bundle.decoder import HEAD, LAST_NORM
from .decoder import STREAM, STREAM_OUT, build_embedding, build_head, build_layer
from .inspect import Inspected
from .roles import WeightSpec, by_stage, norm_matrix_spec, rotation_spec, weight_specs
from .rotated import may_share, rotated, rotated_decoder
from .stage_graph import StageGraph
from .weights import Stage

Floating = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

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

    @property
    def layers(self) -> int:
        """How many layers there are; that of number n reads what n layers made."""
        return len(self._layers)

    # Graphs are made when they are run first: `stages` runs none, and needs no onnxruntime.
    @functools.cached_property
    def embedding(self) -> StageGraph:
        """Of ids `STREAM_OUT`."""
        return StageGraph(build_embedding, self._decoder, self._stages[0])

    @functools.cached_property
    def layer(self) -> StageGraph:
        """Of `STREAM` and ids `STREAM_OUT`."""
        return StageGraph(build_layer, self._decoder, self._layers[0], self._rotations)

    @functools.cached_property
    def layer_back(self) -> StageGraph:
        """Of both and the gradient of `STREAM_OUT` the stream's, and those of products."""
        specs, more = self._layers[0], self._rotations
        return StageGraph(build_layer, self._decoder, specs, more, back_from=STREAM_OUT)

    @functools.cached_property
    def head(self) -> StageGraph:
        """Of `STREAM` logits."""
        return StageGraph(build_head, self._decoder, self._stages[-1])

    @functools.cached_property
    def head_back(self) -> StageGraph:
        """Of `STREAM` and the gradient of logits the stream's."""
        return StageGraph(build_head, self._decoder, self._stages[-1], back_from=LOGITS)

    @property
    def _rotations(self) -> list[WeightSpec]:
        return [rotation_spec(self._decoder)] if self._rotated else []

    def calibrate(self, texts: Sequence[Ids]) -> Iterator[Stage]:
        """Yield every stage, in the order of `specs`, after all texts went through it."""
        weights = self.weights(0)
        stream = list(self.embedded(texts, weights))
        yield Stage(self.embedding.specs, weights, {}, _energy(stream))
        for number, specs in enumerate(self._layers, 1):
            weights = self.weights(number)
            moments = self._pass(self.layer, weights, texts, stream)
            yield Stage(tuple(specs), weights, moments, _energy(stream))
        weights = self.weights(-1)
        readout = Readout(weights[HEAD] * np.float32(self._decoder.logit_scale))
        moments = self._pass(self.head, weights, texts, stream, readout=readout)
        moments |= {spec.name: moments[HEAD] for spec in self._beside}
        yield self._with_beside(Stage(self.head.specs, weights, moments, readout=readout))

    def stages(self) -> Iterator[Stage]:
        """Yield every stage without running it: nothing is seen of what weights multiply."""
        return map(self.stage, [*range(self.layers + 1), -1])

    def stage(self, number: int) -> Stage:
        """Return the embedding, layer n or, at -1, the head, without running it."""
        stage = Stage(tuple(self._stages[number]), self.weights(number), {})
        return self._with_beside(stage) if number == -1 else stage

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
                return self.weights(number)
            return {spec.name: weights[spec.name] for spec in specs}

        stream = list(self.embedded(texts, read(0, self.embedding.specs)))
        for number, specs in enumerate(self._layers, 1):
            self._pass(self.layer, read(number, specs), texts, stream, watched=False)
            advance(1)
        fed = self.head.fed(read(-1, self.head.specs))
        return lambda: (self.head.run(fed, {STREAM: x})[LOGITS] for x in stream)

    def embedded(self, texts: Sequence[Ids], weights: Mapping[str, Floating]) -> Iterator[Floating]:
        """Yield the stream [T, E] of each text before the first layer."""
        fed = self.embedding.fed(weights)
        for ids in texts:
            yield self.embedding.run(fed, {INPUT_IDS: ids[None]})[STREAM_OUT]

    def weights(self, number: int) -> dict[str, Floating]:
        """Return the weights [N, K] of a stage."""
        names = [spec.name for spec in self._sources[number]]
        weights = {name: self._checked.weight(name) for name in names}
        if not self._rotated:
            return weights
        return rotated(self._plain, self._stages[number], weights)

    @staticmethod
    def _pass(
        part: StageGraph,
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
        return {name: seen[tap] for name, tap in part.taps_of(weights).items() if tap in seen}


def _energy(stream: Sequence[Floating]) -> float:
    """Return the mean over all tokens of the sum of squares of their activations."""
    return sum(float(np.vdot(x, x)) for x in stream) / sum(map(len, stream))
