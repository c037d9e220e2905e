"""Attention of the graph for a GPU: queries, keys and values, and where their order comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..runtime.bundle.contract import past_name, present_name
from ..runtime.bundle.decoder import Alibi, Decoder, Norm, Rotary, layer_name
from ..runtime.bundle.gpu import (
    CAPACITY,
    COSINES,
    EXTENSION,
    FILLED,
    KEYS,
    PLACES,
    SINES,
    TYPE,
    is_fused,
    row_size,
)
from .attention import rotated_heads
from .blocks import halves, over_rms
from .graph import CONTRIB, ONNX_TYPES, Graph
from .products import Weights, linear, stored

PARTS = ("key", "value")
LAST_AXIS = {"axis": -1}


@dataclass(frozen=True)
class Step:
    """What all layers share.

    Args:
        decoder: the facts.
        weights: where they lie; activations are `TYPE`.
        folded: whether ALiBi is in the numbers of queries and keys, or a bias.
        filled: rows of the cache with the new ones, less 1, [1] int32.
        capacity: rows of the cache, a scalar, int32.
        extension: numbers behind each query, key and value head, [T, H + 2G, EXTENSION], or "".
        angles: cosines and sines of rotary positions, or "" twice.
        bias: [1, H, T, capacity] added to scores, or "".

    """

    decoder: Decoder
    weights: Weights
    folded: bool
    filled: str
    capacity: str
    extension: str
    angles: tuple[str, str]
    bias: str

    @property
    def rotates(self) -> bool:
        """Whether queries and keys are rotated before attention, which does not do it by itself."""
        positions = self.decoder.positions
        return isinstance(positions, Rotary) and not is_fused(positions)


def step_of(g: Graph, decoder: Decoder, weights: Weights, *, folded: bool) -> Step:
    """Work out what every layer shares."""
    filled, capacity = g.input(FILLED, "int32", [1]), g.input(CAPACITY, "int32", [])
    extension, angles, bias = "", ("", ""), ""
    with g.scope("step"):
        if isinstance(decoder.positions, Rotary):
            angles = _angles(g, decoder, decoder.positions)
        elif isinstance(decoder.positions, Alibi):
            places = g.input(PLACES, "int64", ["tokens"])
            make = _extension if folded else _bias
            made = make(g, places, decoder)
            extension, bias = (made, "") if folded else ("", made)
    return Step(decoder, weights, folded, filled, capacity, extension, angles, bias)


def _angles(g: Graph, decoder: Decoder, rotary: Rotary) -> tuple[str, str]:
    """Return cosines and sines: of all places where attention takes its own, else of new tokens."""
    size = rotary.dims // 2 if is_fused(rotary) else decoder.attention.head_size
    cosines, sines = (g.input(name, TYPE, ["capacity", size]) for name in (COSINES, SINES))
    if is_fused(rotary):
        return cosines, sines
    places = g.input(PLACES, "int64", ["tokens"])
    rows = (g.op("Gather", table, places) for table in (cosines, sines))
    cosines, sines = (g.op("Unsqueeze", each, g.constant([1])) for each in rows)
    return cosines, sines


def _extension(g: Graph, places: str, decoder: Decoder) -> str:
    """Return the numbers behind each head of new tokens, [T, H + 2G, EXTENSION].

    Queries have their slope in parts, keys their place in parts, values nothing.
    """
    assert isinstance(decoder.positions, Alibi)
    heads, groups = decoder.attention.heads, decoder.attention.kv_heads
    rows = g.op("Gather", g.input(KEYS, TYPE, ["capacity", EXTENSION]), places)
    are_keys = np.zeros((heads + 2 * groups, 1))
    are_keys[heads : heads + groups] = 1
    keys = g.op("Mul", g.op("Unsqueeze", rows, g.constant([1])), g.constant(are_keys, TYPE))
    queries = np.zeros((heads + 2 * groups, EXTENSION))
    queries[:heads] = _folded_slopes(decoder)
    return g.op("Add", keys, g.constant(queries, TYPE))


def _folded_slopes(decoder: Decoder) -> npt.NDArray[np.float64]:
    """Return what is behind each query head, [H, EXTENSION].

    A slope over the scale of scores is a float16 and what that leaves, each once for the coarse
    part of a key's place and once for the fine one.
    """
    assert isinstance(decoder.positions, Alibi)
    slopes = np.array(decoder.positions.slopes) / decoder.attention.scale
    coarse = slopes.astype(np.float16).astype(np.float64)
    fine = slopes - coarse
    zeros = np.zeros((len(slopes), EXTENSION - 4))
    return np.concatenate([np.stack([coarse, coarse, fine, fine], axis=1), zeros], axis=1)


def _bias(g: Graph, places: str, decoder: Decoder) -> str:
    """Return what is added to scores, [1, H, T, capacity]; attention hides what lies ahead."""
    assert isinstance(decoder.positions, Alibi)
    keys = g.input(KEYS, "float32", ["capacity"])
    places = g.op("Cast", places, attributes={"to": ONNX_TYPES["float32"]})
    ahead = g.op("Sub", keys, g.op("Unsqueeze", places, g.constant([0, 1, 3])))
    slopes = np.array(decoder.positions.slopes).reshape(1, -1, 1, 1)
    bias = g.op("Mul", ahead, g.constant(slopes, "float32"))
    return g.op("Cast", bias, attributes={"to": ONNX_TYPES[TYPE]})


def norm_alone(g: Graph, x: str, weights: list[str], norm: Norm) -> str:
    """Normalize [rows, E] over E by stored weights."""
    if norm.kind == "layer":
        attributes = {"axis": -1, "epsilon": norm.epsilon}
        return g.op("LayerNormalization", x, *weights, attributes=attributes)
    (scale,) = weights
    return over_rms(g, x, scale, norm.epsilon, TYPE)


def attention(g: Graph, x: str, s: Step, number: int) -> str:
    """Attend to all keys up to each new token's own: [T, E] -> [T, E]."""
    name, facts = f"{layer_name(number)}.attention", s.decoder.attention
    heads, groups, size = facts.heads, facts.kv_heads, facts.head_size
    width = row_size(s.decoder, folded=s.folded)
    with g.scope("attention"):
        q, kv = (linear(g, x, s.weights, f"{name}.{part}") for part in ("q", "kv"))
        parts = [q, kv]
        if facts.head_norm or s.rotates:
            key, value = halves(g, kv)
            q, key = _placed(g, q, s, f"{name}.q", heads), _placed(g, key, s, f"{name}.k", groups)
            parts = [q, key, value]
        packed = g.op("Concat", *parts, attributes=LAST_AXIS)
        if s.extension:
            apart = g.op("Reshape", packed, g.constant([-1, heads + 2 * groups, size]))
            packed = g.op("Concat", apart, s.extension, attributes=LAST_AXIS)
        packed = g.op("Reshape", packed, g.constant([1, -1, (heads + 2 * groups) * width]))
        mixed = g.op("Reshape", _attended(g, packed, s, number), g.constant([-1, heads, width]))
        if width > size:
            ends = (g.constant([end]) for end in (0, size, 2))
            mixed = g.op("Slice", mixed, *ends)
        mixed = g.op("Reshape", mixed, g.constant([-1, heads * size]))
        return linear(g, mixed, s.weights, f"{name}.out")


def _placed(g: Graph, x: str, s: Step, name: str, heads: int) -> str:
    """Return queries or keys [T, heads * D] normed and rotated as far as attention does not."""
    size = s.decoder.attention.head_size
    if s.decoder.attention.head_norm:
        weight = stored(g, s.weights, f"{name}_norm")
        x = g.op("Reshape", x, g.constant([-1, size]))
        x = norm_alone(g, x, [weight], Norm("rms", s.decoder.norm.epsilon))
    if s.rotates:
        assert isinstance(s.decoder.positions, Rotary)
        x = g.op("Reshape", x, g.constant([-1, heads, size]))
        x = rotated_heads(g, x, s.angles, size, s.decoder.positions.dims)
    return g.op("Reshape", x, g.constant([-1, heads * size]))


def _attended(g: Graph, packed: str, s: Step, number: int) -> str:
    """Return what queries mix of all values: [1, T, (H + 2G) * D] -> [1, T, H * D]."""
    attention = s.decoder.attention
    shape: list[int | str] = [
        1,
        attention.kv_heads,
        "capacity",
        row_size(s.decoder, folded=s.folded),
    ]
    past = [g.input(past_name(number, part), TYPE, shape) for part in PARTS]
    angles = ("", "") if s.rotates else s.angles
    attributes = {
        "num_heads": attention.heads,
        "kv_num_heads": attention.kv_heads,
        "scale": float(attention.scale),
        "do_rotary": int(any(angles)),
        "rotary_interleaved": 0,
        "local_window_size": attention.window or -1,
    }
    mixed, *present = g.ops(
        "GroupQueryAttention",
        *(packed, "", "", *past, s.filled, s.capacity, *angles, "", s.bias),
        domain=CONTRIB,
        outputs=3,
        attributes=attributes,
    )
    for part, value in zip(PARTS, present, strict=True):
        g.output(value, present_name(number, part), TYPE, shape)
    return mixed
