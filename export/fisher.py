"""How much a model minds errors: moments of the gradients of its loss, a layer at a time.

The loss is that of labels which the model draws itself, so its gradients' moments are Fisher's
information: to second order, they tell how far the model's choices move from what they are. Streams
between layers and all moments lie in a folder, as together they may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..quant.moments import Moments
from ..quant.pack import Array
from ..runtime.bundle.contract import INPUT_IDS, LOGITS
from .decoder import STREAM, STREAM_OUT
from .layerwise import Floating, Ids, Layerwise
from .roles import WeightSpec
from .scratch import Scratch
from .stage_graph import GRADIENT, STREAM_GRADIENT, Feeds

_SEED = 0
_OBSERVED = ("matrix", "kv")
EMBEDDED = "embedded"  # the stream before the first layer, as a name among those of weights


class Fisher:
    """What a run of all texts, forth and back, has left in a folder."""

    def __init__(self, scratch: Scratch, texts: Sequence[Ids]) -> None:
        """Begin, or go on with, a folder for these texts."""
        self._scratch = scratch
        self._ends = np.cumsum([len(ids) for ids in texts])[:-1]

    def last_stream(self, layers: int) -> int | None:
        """Return behind how many layers there is a stream; of several, the most."""
        there = (number for number in range(layers, -1, -1) if _stream(number) in self._scratch)
        return next(there, None)

    def save_stream(self, number: int, stream: Sequence[Floating]) -> None:
        """Keep the stream [T, E] of each text behind so many layers."""
        self._save(_stream(number), stream)

    def stream(self, number: int) -> list[Floating]:
        """Return the stream of each text behind so many layers of the exact model."""
        return self._load(_stream(number))

    def last_gradients(self, layers: int) -> int | None:
        """Return behind how many layers gradients of the stream are at hand."""
        there = (number for number in range(layers + 1) if _gradients(number) in self._scratch)
        return next(there, None)

    def save_gradients(self, number: int, gradients: Sequence[Floating]) -> None:
        """Keep the gradients [T, E] of each text behind so many layers, and no others."""
        self._save(_gradients(number), gradients)
        self._scratch.drop(_gradients(number + 1))

    def gradients(self, number: int) -> list[Floating]:
        """Return the gradients of each text behind so many layers."""
        return self._load(_gradients(number))

    def save_moments(self, name: str, parts: Sequence[Moments]) -> None:
        """Keep the moments of the gradients of a product, or of runs of its outputs.

        In halves, as numbers that stand between -1 and 1 beside their sizes.
        """
        second = np.stack([part.second for part in parts])
        sizes = np.sqrt(np.diagonal(second, axis1=1, axis2=2))
        pairs = sizes[:, :, None] * sizes[:, None, :]
        shares = np.divide(second, pairs, out=np.zeros_like(second), where=pairs > 0)
        arrays = {"shares": shares.astype(np.float16), "sizes": sizes.astype(np.float32)}
        self._scratch.save(name, arrays)

    def moments(self, name: str) -> Floating:
        """Return the mean of g g^T [parts, n, n] over gradients of a weight's products."""
        saved = self._scratch.load(name)
        sizes = saved["sizes"].astype(np.float32)
        moments = saved["shares"].astype(np.float32)
        moments *= sizes[:, :, None]
        moments *= sizes[:, None, :]
        return moments

    def _save(self, name: str, texts: Sequence[Floating]) -> None:
        self._scratch.save(name, {"texts": np.concatenate(texts)})

    def _load(self, name: str) -> list[Floating]:
        return self.split(self._scratch.load(name)["texts"])

    def split(self, texts: Array) -> list[Floating]:
        """Return what all texts have [T, n], text by text."""
        return np.split(texts.astype(np.float32, copy=False), self._ends)


def _stream(number: int) -> str:
    return f"stream.{number}"


def _gradients(number: int) -> str:
    return f"gradients.{number}"


def scratch_bytes(specs: Sequence[WeightSpec], width: int, layers: int, tokens: int) -> int:
    """Return about how many bytes lie in the folder of a model for so many tokens."""
    streams = 4 * (layers + 3) * tokens * width  # and gradients, of up to two layers
    halves = (spec.shape[0] ** 2 // parts_of(spec.name) for spec in specs if spec.role in _OBSERVED)
    return streams + 2 * sum(halves)


def observe(
    model: Layerwise,
    texts: Sequence[Ids],
    tokens: int,
    scratch: Scratch,
    advance: Callable[[int], None],
) -> Fisher:
    """Run all texts through a model, and gradients back; `advance` is called twice a layer.

    Labels are drawn among the first `tokens` ids, for which alone there are logits that count. What
    is in the folder is not done again.
    """
    fisher = Fisher(scratch, texts)
    _forth(model, texts, fisher, advance)
    if (last := fisher.last_gradients(model.layers)) is None:
        last = model.layers
        stream = fisher.stream(last)
        fisher.save_gradients(last, list(_of_labels(model, stream, tokens)))
    gradients = fisher.gradients(last)
    advance(model.layers - last)
    for number in range(last, 0, -1):
        _back(model, number, texts, gradients, fisher)
        fisher.save_gradients(number - 1, gradients)
        advance(1)
    moments = Moments()
    for gradient in gradients:
        moments.add(gradient)
    fisher.save_moments(EMBEDDED, [moments])
    return fisher


def _forth(
    model: Layerwise, texts: Sequence[Ids], fisher: Fisher, advance: Callable[[int], None]
) -> None:
    """Send all texts through all layers; keep the stream behind each."""
    if (last := fisher.last_stream(model.layers)) is None:
        last = 0
        fisher.save_stream(0, list(model.embedded(texts, model.weights(0))))
    stream = fisher.stream(last)
    advance(last)
    for number in range(last + 1, model.layers + 1):
        fed = model.layer.fed(model.weights(number))
        for i, ids in enumerate(texts):
            feeds: Feeds = {INPUT_IDS: ids[None], STREAM: stream[i]}
            stream[i] = model.layer.run(fed, feeds, [STREAM_OUT])[STREAM_OUT]
        fisher.save_stream(number, stream)
        advance(1)


def _of_labels(model: Layerwise, stream: Sequence[Floating], tokens: int) -> Iterator[Floating]:
    """Yield the gradients behind the last layer, for labels drawn from the model's own choices."""
    random = np.random.default_rng(_SEED)
    weights = model.weights(-1)
    forth, back = model.head.fed(weights), model.head_back.fed(weights)
    for x in stream:
        logits = model.head.run(forth, {STREAM: x}, [LOGITS])[LOGITS]
        logits[:, tokens:] = -np.inf
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        below = np.cumsum(shares, axis=1, dtype=np.float64)
        drawn = random.random((len(x), 1)) * below[:, -1:]
        labels = (below < drawn).sum(axis=1)
        shares[np.arange(len(x)), labels] -= 1  # the gradient of -log(share of the label)
        yield model.head_back.run(back, {STREAM: x, GRADIENT: shares})[STREAM_GRADIENT]


def _back(
    model: Layerwise,
    number: int,
    texts: Sequence[Ids],
    gradients: list[Floating],
    fisher: Fisher,
) -> None:
    """Send all gradients back through a layer; keep the moments of those of its products."""
    graph, weights = model.layer_back, model.weights(number)
    taps, fed = graph.taps_of(weights), graph.fed(weights)
    seen = {name: [Moments() for _ in range(parts_of(name))] for name in taps}
    for i, (ids, x) in enumerate(zip(texts, fisher.stream(number - 1), strict=True)):
        outputs = graph.run(fed, {INPUT_IDS: ids[None], STREAM: x, GRADIENT: gradients[i]})
        for name, parts in seen.items():
            runs = np.split(outputs[taps[name]], len(parts), axis=1)
            for moments, run in zip(parts, runs, strict=True):
                moments.add(np.ascontiguousarray(run))
        gradients[i] = outputs[STREAM_GRADIENT]
    for name, parts in seen.items():
        fisher.save_moments(name, parts)


def parts_of(name: str) -> int:
    """Return in how many runs a weight's rows are looked at: two matrices may lie in one."""
    return 2 if name.endswith(("attention.kv", "mlp.gate_up")) else 1
