"""A decoder as graphs, composed by its facts: standard, engine, embedding, one layer, head.

The stream is [rows, E] throughout, rows being batch times new tokens; attention alone looks at the
sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..runtime.bundle.contract import (
    ATTENTION_MASK,
    INPUT_IDS,
    LOGITS,
    LOGITS_TO_KEEP,
    past_name,
    present_name,
)
from ..runtime.bundle.decoder import (
    EMBEDDING,
    HEAD,
    LAST_NORM,
    POSITIONS,
    Attention,
    Decoder,
    Learned,
    Rotary,
    layer_name,
)
from ..runtime.bundle.places import NORM_MATRIX
from .attention import (
    Sequence,
    apart,
    attend,
    by_batch,
    grouped,
    last_rows,
    rotary,
    sequence,
    together,
)
from .blocks import ACTIVATIONS, halves, head_normed, normed, rotated
from .graph import ONNX_TYPES, Graph
from .products import Weights, linear, lookup, tied_linear

STREAM, STREAM_OUT = "stream", "stream_out"  # activations between the parts of a model
PARTS = ("key", "value")


@dataclass(frozen=True)
class _Layer:
    """One layer under construction: its past keys and values, and after attention the present."""

    decoder: Decoder
    weights: Weights
    s: Sequence
    name: str
    past: tuple[str, ...]
    whole: bool  # whether the present is past and new rows, or the new ones alone
    present: list[str]


def build_standard(g: Graph, decoder: Decoder, weights: Weights) -> None:
    """Build the graph that other loaders open: ids and mask, logits of all new tokens."""
    _build(g, decoder, weights, standard=True)


def build_engine(g: Graph, decoder: Decoder, weights: Weights) -> None:
    """Build the graph that our engine runs: logits of the last tokens, new rows of the cache."""
    _build(g, decoder, weights, standard=False)


def build_embedding(g: Graph, decoder: Decoder, weights: Weights) -> None:
    """Build ids [1, T], the start of one text -> `STREAM_OUT` [T, E]."""
    ids = g.input(INPUT_IDS, "int64", [1, "tokens"])
    x = _embedded(g, ids, decoder, weights, _start(g, ids, decoder))
    g.output(x, STREAM_OUT, "float32", ["tokens", decoder.width])


def build_layer(g: Graph, decoder: Decoder, weights: Weights) -> None:
    """Build the first layer alone, at the start of one text: ids, `STREAM` -> `STREAM_OUT`.

    Of the ids only their number counts. All other layers are the same but for their weights.
    """
    ids = g.input(INPUT_IDS, "int64", [1, "tokens"])
    x = g.input(STREAM, "float32", ["tokens", decoder.width])
    nothing = _nothing(g, decoder)
    s = _start(g, ids, decoder)
    x = _layer(g, x, _Layer(decoder, weights, s, layer_name(0), (nothing, nothing), False, []))
    g.output(x, STREAM_OUT, "float32", ["tokens", decoder.width])


def build_head(g: Graph, decoder: Decoder, weights: Weights) -> None:
    """Build what follows the last layer: `STREAM` [T, E] -> logits [T, V]."""
    x = g.input(STREAM, "float32", ["tokens", decoder.width])
    g.output(_head(g, x, decoder, weights), LOGITS, "float32", ["tokens", decoder.vocabulary])


def _build(g: Graph, decoder: Decoder, weights: Weights, *, standard: bool) -> None:
    kv = weights.activations
    cache = _cache_shape(decoder, "past", standard=standard)
    ids = g.input(INPUT_IDS, "int64", ["batch_size", "tokens"])
    mask = g.input(ATTENTION_MASK, "int64", ["batch_size", "total"]) if standard else None
    pasts = [
        tuple(g.input(past_name(i, part, standard=standard), kv, cache) for part in PARTS)
        for i in range(decoder.layers)
    ]
    keep = None if standard else g.input(LOGITS_TO_KEEP, "int64", [])
    s = sequence(g, ids, pasts[0][0], decoder, kv, mask)
    x = _embedded(g, ids, decoder, weights, s)
    presents: list[list[str]] = [[] for _ in pasts]
    for i, (past, present) in enumerate(zip(pasts, presents, strict=True)):
        x = _layer(g, x, _Layer(decoder, weights, s, layer_name(i), past, standard, present))
    if keep is not None:
        x = last_rows(g, x, s, keep, decoder.width)
    logits = _head(g, x, decoder, weights)
    if kv != "float32":
        logits = g.op("Cast", logits, attributes={"to": ONNX_TYPES["float32"]})
    logits = by_batch(g, logits, s, decoder.vocabulary)
    rows, cached = ("tokens", "total") if standard else ("kept", "tokens")
    g.output(logits, LOGITS, "float32", ["batch_size", rows, decoder.vocabulary])
    shape = _cache_shape(decoder, cached, standard=standard)
    for i, present in enumerate(presents):
        for part, value in zip(PARTS, present, strict=True):
            g.output(value, present_name(i, part), kv, shape)


def _cached(attention: Attention, *, standard: bool) -> tuple[int, int]:
    """Return the second and last size of a cache.

    Other loaders want heads apart, [B, G, S, D]. Our engine has a token's heads together,
    [B, 1, S, G * D], so that new rows lie behind the old ones.
    """
    groups, size = attention.kv_heads, attention.head_size
    return (groups, size) if standard else (1, groups * size)


def _cache_shape(decoder: Decoder, rows: str, *, standard: bool) -> list[int | str]:
    """Return the shape of a cache of so many rows.

    Optimum begins with an empty cache of heads that share the stream's width, as wide as they may
    be: it passes where the size has but a name, and what is empty is joined with anything.
    """
    heads, width = _cached(decoder.attention, standard=standard)
    wide = standard and decoder.attention.heads * width != decoder.width
    return ["batch_size", heads, rows, "head_size" if wide else width]


def _nothing(g: Graph, decoder: Decoder) -> str:
    """Return the empty cache of one layer and part, as the engine has it."""
    heads, width = _cached(decoder.attention, standard=False)
    return g.constant(np.empty((1, heads, 0, width)), "float32")


def _start(g: Graph, ids: str, decoder: Decoder) -> Sequence:
    """Return the sequence of a text that nothing is before."""
    return sequence(g, ids, _nothing(g, decoder), decoder, "float32", None)


def _scaled(g: Graph, x: str, scale: float, activations: str) -> str:
    return x if scale == 1 else g.op("Mul", x, g.constant(scale, activations))


def _embedded(g: Graph, ids: str, decoder: Decoder, weights: Weights, s: Sequence) -> str:
    """Return the stream [B*T, E] before the first layer."""
    x = lookup(g, g.op("Reshape", ids, g.constant([-1])), weights, EMBEDDING)
    x = _scaled(g, x, decoder.embedding_scale, weights.activations)
    if isinstance(decoder.positions, Learned):
        places = g.op("Range", s.past, s.total, g.constant(1))
        rows = lookup(g, places, weights, POSITIONS)
        x = g.op("Add", by_batch(g, x, s, decoder.width), rows)
        x = g.op("Reshape", x, g.constant([-1, decoder.width]))
    return x


def _layer(g: Graph, x: str, layer: _Layer) -> str:
    """Return the stream after a layer."""
    with g.scope(layer.name):
        return LAYERS[layer.decoder.residual](g, x, layer)


def _sequential(g: Graph, x: str, layer: _Layer) -> str:
    x = g.op("Add", x, _attention(g, _normed(g, x, layer, "norm1"), layer))
    return g.op("Add", x, _mlp(g, _normed(g, x, layer, "norm2"), layer))


def _parallel(g: Graph, x: str, layer: _Layer) -> str:
    first = _normed(g, x, layer, "norm1")
    second = first if layer.decoder.one_norm else _normed(g, x, layer, "norm2")
    both = g.op("Add", _attention(g, first, layer), _mlp(g, second, layer))
    return g.op("Add", x, both)


LAYERS: Mapping[str, Callable[[Graph, str, _Layer], str]] = {
    "sequential": _sequential,
    "parallel": _parallel,
}


def _normed(g: Graph, x: str, layer: _Layer, part: str) -> str:
    return normed(g, x, layer.weights, f"{layer.name}.{part}", layer.decoder.norm)


def _attention(g: Graph, x: str, layer: _Layer) -> str:
    attention, s, name = layer.decoder.attention, layer.s, f"{layer.name}.attention"
    groups, size = attention.kv_heads, attention.head_size
    with g.scope("attention"):
        q = linear(g, x, layer.weights, f"{name}.q")
        key, value = halves(g, linear(g, x, layer.weights, f"{name}.kv"))
        q = grouped(g, _placed(g, q, layer, "q"), s, groups, attention.heads, size)
        new = [_new_rows(g, x, layer) for x in (_placed(g, key, layer, "k"), value)]
        keys, values = (
            g.op("Concat", *parts, attributes={"axis": 2})
            for parts in zip(layer.past, new, strict=True)
        )
        layer.present.extend((keys, values) if layer.whole else new)
        if not layer.whole:
            keys, values = (apart(g, x, s, groups, size) for x in (keys, values))
        mixed = attend(g, q, keys, values, s, attention)
        return linear(g, mixed, layer.weights, f"{name}.out")


def _new_rows(g: Graph, x: str, layer: _Layer) -> str:
    """Return new keys or values as the cache of the graph has them."""
    groups, size = layer.decoder.attention.kv_heads, layer.decoder.attention.head_size
    if layer.whole:
        return grouped(g, x, layer.s, groups, groups, size)
    return together(g, x, layer.s, groups * size)


def _placed(g: Graph, x: str, layer: _Layer, part: str) -> str:
    """Return queries or keys [B*T, heads * D] normed and rotated as the facts say, in any shape."""
    decoder, attention = layer.decoder, layer.decoder.attention
    heads = attention.heads if part == "q" else attention.kv_heads
    if attention.head_norm:
        name = f"{layer.name}.attention.{part}_norm"
        x = head_normed(g, x, layer.weights, name, decoder.norm, attention.head_size)
    if isinstance(decoder.positions, Rotary):
        with g.scope(f"{part}_rotary"):
            dims = decoder.positions.dims
            x = rotary(g, x, layer.s, heads, attention.head_size, dims)
    return x


def _mlp(g: Graph, x: str, layer: _Layer) -> str:
    mlp, name = layer.decoder.mlp, f"{layer.name}.mlp"
    activation = ACTIVATIONS[mlp.activation]
    with g.scope("mlp"):
        if mlp.gated:
            gate, up = halves(g, linear(g, x, layer.weights, f"{name}.gate_up"))
            hidden = g.op("Mul", activation(g, gate), up)
        else:
            hidden = activation(g, linear(g, x, layer.weights, f"{name}.up"))
        hidden = rotated(g, hidden, layer.weights, mlp.hidden)
        return linear(g, hidden, layer.weights, f"{name}.down")


def _head(g: Graph, x: str, decoder: Decoder, weights: Weights) -> str:
    """Return logits [rows, V] of the stream after the last layer."""
    x = normed(g, x, weights, LAST_NORM, decoder.norm)
    if NORM_MATRIX in weights.places:
        x = linear(g, x, weights, NORM_MATRIX)
    logits = (tied_linear if decoder.tied else linear)(g, x, weights, HEAD)
    return _scaled(g, logits, decoder.logit_scale, weights.activations)
