"""Attention over a KV cache, as functions on a graph.

Query heads come in G groups of R, each group with one key and value head: [B, G, T*R, D] against
[B, G, S+T, D]. With one group the query heads are simply more rows of one product, nothing is
transposed, and the axis of groups is left out where it would only cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..runtime.bundle.decoder import Alibi, Attention, Decoder, Learned, Positions, Rotary
from .graph import CONTRIB, ONNX_TYPES, Graph

# Added to scores of keys that must not be seen. Far below any real score, yet finite in fp16,
# so that a row with nothing to see (padding) becomes uniform and not NaN.
HIDDEN = {"float32": -1e9, "float16": -6e4}

_SWAP = (0, 2, 1, 3)  # the axes of tokens and groups


@dataclass(frozen=True)
class Sequence:
    """What all layers share in one run.

    Args:
        batch: sizes of the batch, [1].
        new: T, a scalar.
        past: S, a scalar.
        total: S + T, a scalar.
        bias: what is added to scores, [T, H, S+T] or with more groups [G, T, R, S+T]; H, G and R
            may be 1; with a mask there is a batch before.
        angles: cosines and sines of rotary positions, [T, 1, D] each.

    """

    batch: str
    new: str
    past: str
    total: str
    bias: str
    angles: tuple[str, str] | None = None


def sequence(
    g: Graph, ids: str, past_key: str, decoder: Decoder, activations: str, mask: str | None
) -> Sequence:
    """Work out what every layer shares, for ids [B, T]; keys where `mask` [B, S+T] is 0 are hidden.

    Where the key lies ahead the bias is `HIDDEN`.
    """
    with g.scope("sequence"):
        batch = _size(g, ids, 0, vector=True)
        new, past = _size(g, ids, 1), _size(g, past_key, 2)
        total = g.op("Add", past, new)
        one = g.constant(1)
        keys = g.op("Unsqueeze", g.op("Range", g.constant(0), total, one), g.constant([0]))
        places = g.op("Range", past, total, one)
        queries = g.op("Unsqueeze", places, g.constant([1]))
        ahead = g.op("Unsqueeze", g.op("Sub", keys, queries), g.constant([1]))  # [T, 1, S+T]
        visible = g.op("LessOrEqual", ahead, g.constant(0))
        if decoder.attention.window:
            near = g.op("LessOrEqual", g.constant(1 - decoder.attention.window), ahead)
            visible = g.op("And", visible, near)
        if mask is not None:
            axes = [1, 2] if decoder.attention.kv_heads == 1 else [1, 2, 3]
            seen = g.op("LessOrEqual", one, g.op("Unsqueeze", mask, g.constant(axes)))
            visible = g.op("And", visible, seen)  # [B, T, 1, S+T] or [B, 1, T, 1, S+T]
        scores = _BIASES[type(decoder.positions)](g, ahead, decoder)
        bias = g.op("Where", visible, scores, g.constant(HIDDEN[activations], "float32"))
        if activations != "float32":
            bias = g.op("Cast", bias, attributes={"to": ONNX_TYPES[activations]})
        angles = None
        if isinstance(decoder.positions, Rotary):
            size = decoder.attention.head_size
            angles = _angles(g, queries, decoder.positions, size, activations)
        return Sequence(batch, new, past, total, bias, angles)


def _alibi(g: Graph, ahead: str, decoder: Decoder) -> str:
    """Return ALiBi in its relative form, which stays exact near the diagonal in any precision."""
    assert isinstance(decoder.positions, Alibi)
    distance = g.op("Cast", ahead, attributes={"to": ONNX_TYPES["float32"]})
    slopes = np.array(decoder.positions.slopes).reshape(_heads(decoder.attention))
    return g.op("Mul", distance, g.constant(slopes, "float32"))


def _no_bias(g: Graph, ahead: str, decoder: Decoder) -> str:
    del ahead, decoder
    return g.constant(0, "float32")


def _heads(attention: Attention) -> tuple[int, ...]:
    """Return the shape of one number a head, as scores [.., T, R, S+T] take it."""
    groups, heads = attention.kv_heads, attention.heads
    return (heads, 1) if groups == 1 else (groups, 1, heads // groups, 1)


_BIASES: dict[type[Positions], Callable[[Graph, str, Decoder], str]] = {
    Alibi: _alibi,
    Rotary: _no_bias,
    Learned: _no_bias,
}


def _angles(g: Graph, places: str, rotary: Rotary, size: int, activations: str) -> tuple[str, str]:
    """Return cosines and sines [T, 1, D] for places [T, 1], from angles in fp32.

    Each stands twice, as a number and its partner are rotated by the same angle, and the sines of
    the first half are negative; numbers that are not rotated have the angle 0.
    """
    steps = np.arange(0, rotary.dims, 2) / rotary.dims
    speeds = rotary.base**-steps / rotary.factor
    still = np.zeros(size - rotary.dims)
    numbers = g.op("Cast", places, attributes={"to": ONNX_TYPES["float32"]})
    numbers = g.op("Unsqueeze", numbers, g.constant([2]))
    cosines, sines = (
        g.op(name, g.op("Mul", numbers, g.constant(np.concatenate(signed), "float32")))
        for name, signed in (("Cos", (speeds, speeds, still)), ("Sin", (-speeds, speeds, still)))
    )
    if activations != "float32":
        to = {"to": ONNX_TYPES[activations]}
        cosines, sines = (g.op("Cast", x, attributes=to) for x in (cosines, sines))
    return cosines, sines


def rotary(g: Graph, x: str, s: Sequence, heads: int, size: int, dims: int) -> str:
    """Rotate the first `dims` numbers of heads by their place: [B*T, H*D] -> [B, T, H, D].

    In plain operators: onnxruntime's own took half the time at one token, 2 of 4 microseconds, and
    as long at 512, but OpenVINO 2026.1 computes it wrongly.
    """
    assert s.angles is not None
    x = g.op("Reshape", x, _shape(g, s.batch, [-1, heads, size]))
    return rotated_heads(g, x, s.angles, size, dims)


def rotated_heads(g: Graph, x: str, angles: tuple[str, str], size: int, dims: int) -> str:
    """Rotate the first `dims` numbers of heads [.., H, D] by cosines and sines as `_angles` has."""
    cosines, sines = angles
    half = dims // 2
    sizes = [half, half] + ([size - dims] if dims < size else [])
    axis = {"axis": -1}
    first, second, *rest = g.ops("Split", x, g.constant(sizes), outputs=len(sizes), attributes=axis)
    partners = g.op("Concat", second, first, *rest, attributes=axis)
    return g.op("Add", g.op("Mul", x, cosines), g.op("Mul", partners, sines))


def grouped(g: Graph, x: str, s: Sequence, groups: int, heads: int, size: int) -> str:
    """See heads [B*T, H*D], or [B, T, H, D], as [B, G, T*R, D]."""
    if groups == 1:
        return g.op("Reshape", x, _shape(g, s.batch, [1, -1, size]))
    width = heads // groups * size
    tokens_first = g.op("Reshape", x, _shape(g, s.batch, [-1, groups, width]))
    swapped = g.op("Transpose", tokens_first, attributes={"perm": _SWAP})
    return g.op("Reshape", swapped, _shape(g, s.batch, [groups, -1, size]))


def together(g: Graph, x: str, s: Sequence, width: int) -> str:
    """See heads [B*T, G*D], or [B, T, G, D], as [B, 1, T, G*D]."""
    return g.op("Reshape", x, _shape(g, s.batch, [1, -1, width]))


def apart(g: Graph, rows: str, s: Sequence, groups: int, size: int) -> str:
    """Take rows [B, 1, S+T, G*D] apart into heads: [B, G, S+T, D]."""
    # Tried at 2,048 tokens, one of T, CPU time beside this with 2 and 4 groups, and with 16:
    # FusedMatMul over rows where they lie (transBatchB), old and new apart, 0.52 to 0.57 and 0.30
    # (prompts of 512 0.95 to 1.17), but until onnxruntime 1.31 it divides by zero where the cache
    # is empty and ends the process; GroupQueryAttention 1.08 to 1.24 and 0.34 (prompts 0.85 to
    # 1.07), which wants caches head by head.
    if groups == 1:
        return rows
    heads = g.op("Reshape", rows, _shape(g, s.batch, [-1, groups, size]))
    return g.op("Transpose", heads, attributes={"perm": _SWAP})


def attend(g: Graph, q: str, keys: str, values: str, s: Sequence, attention: Attention) -> str:
    """Attention to keys and values [B, G, S+T, D]: q [B, G, T*R, D] -> [B*T, H*D].

    The cache is copied to have old and new rows in one piece; without that scores must be, which
    are more: with one group prompts took an eighth longer with int8 and a twentieth with int4,
    single tokens as long.
    """
    groups, heads, size = attention.kv_heads, attention.heads, attention.head_size
    attributes = {"alpha": float(attention.scale), "transB": 1}
    scores = g.op("FusedMatMul", q, keys, domain=CONTRIB, attributes=attributes)
    mixed = g.op("MatMul", _shares(g, scores, s, attention), values)
    if groups > 1:
        width = heads // groups * size
        groups_first = g.op("Reshape", mixed, _shape(g, s.batch, [groups, -1, width]))
        mixed = g.op("Transpose", groups_first, attributes={"perm": _SWAP})
    return g.op("Reshape", mixed, g.constant([-1, heads * size]))


def _shares(g: Graph, scores: str, s: Sequence, attention: Attention) -> str:
    """Return the softmax of scores [B, G, T*R, S+T] with their bias, in the same shape."""
    groups = attention.kv_heads
    shared = attention.heads // groups
    total = g.op("Reshape", s.total, g.constant([1]))
    axes = [-1, shared] if groups == 1 else [groups, -1, shared]
    biased = g.op("Add", g.op("Reshape", scores, _shape(g, s.batch, axes, total)), s.bias)
    weights = g.op("Softmax", biased, attributes={"axis": -1})
    return g.op("Reshape", weights, _shape(g, s.batch, [groups, -1], total))


def _shape(g: Graph, batch: str, sizes: list[int], *more: str) -> str:
    return g.op("Concat", batch, g.constant(sizes), *more, attributes={"axis": 0})


def _size(g: Graph, x: str, axis: int, *, vector: bool = False) -> str:
    shape = g.op("Shape", x, attributes={"start": axis, "end": axis + 1})
    return shape if vector else g.op("Reshape", shape, g.constant([], "int64"))


def last_rows(g: Graph, x: str, s: Sequence, keep: str, width: int) -> str:
    """Keep the last `keep` tokens of each sequence: [B*T, E] -> [B*keep, E]."""
    start = g.op("Reshape", g.op("Sub", s.new, keep), g.constant([1]))
    end = g.op("Reshape", s.new, g.constant([1]))
    rows = g.op("Slice", by_batch(g, x, s, width), start, end, g.constant([1]))
    return g.op("Reshape", rows, g.constant([-1, width]))


def by_batch(g: Graph, x: str, s: Sequence, width: int) -> str:
    """See [B*n, width] as [B, n, width]."""
    return g.op("Reshape", x, _shape(g, s.batch, [-1, width]))
