"""The graph of a decoder for a GPU: few kernels a token, and no shape that moves.

Weights are those of the variant's other graphs; activations are float16. Caches are buffers of
fixed capacity, [1, G, capacity, D] a layer and part, past and present in one: what moves is how
many of their rows are filled. So the work of a token can be captured once and launched as one.

ALiBi is folded into attention: eight more numbers of each query and key multiply to its bias. What
they are is asked of the runtime as a table (runtime/backends/gpu_tables.py), as are the angles of
rotary positions. The form with a bias added to scores is slower and as exact as scores are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..runtime.bundle.contract import INPUT_IDS, LOGITS, past_name, present_name
from ..runtime.bundle.decoder import (
    EMBEDDING,
    HEAD,
    LAST_NORM,
    POSITIONS,
    Alibi,
    Decoder,
    Learned,
    Norm,
    Rotary,
    layer_name,
)
from ..runtime.bundle.gpu import (
    CANDIDATE_IDS,
    CANDIDATE_LOGITS,
    CANDIDATES,
    CAPACITY,
    COSINES,
    EXTENSION,
    FILLED,
    KEYS,
    LOGIT_ROWS,
    PLACES,
    SINES,
    TYPE,
    is_fused,
    row_size,
)
from ..runtime.bundle.places import NORM_MATRIX
from .attention import rotated_heads
from .blocks import halves, over_rms, rotated
from .graph import CONTRIB, ONNX_TYPES, Graph
from .products import Weights, linear, lookup, stored, tied_linear

PARTS = ("key", "value")
_LAST_AXIS = {"axis": -1}


@dataclass(frozen=True)
class _Step:
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


def build_gpu(g: Graph, decoder: Decoder, weights: Weights, *, folded: bool = True) -> None:
    """Build ids [1, T] over a cache -> logits of some rows, and the greatest of them.

    Without `folded`, ALiBi is a bias of scores; decoders with other positions have no such form.
    """
    ids = g.input(INPUT_IDS, "int64", [1, "tokens"])
    logit_rows = g.input(LOGIT_ROWS, "int64", ["logit_rows"])
    s = _step(g, decoder, weights, folded=folded)
    stream, branch = _embedded(g, ids, decoder, weights), ""
    for number in range(decoder.layers):
        name = layer_name(number)
        with g.scope(name):
            stream, branch = _LAYERS[decoder.residual](g, stream, branch, s, number)
    x, _ = _normed(g, stream, branch, s, LAST_NORM)
    x = g.op("Gather", x, logit_rows)
    if NORM_MATRIX in weights.places:
        x = linear(g, x, weights, NORM_MATRIX)
    logits = (tied_linear if decoder.tied else linear)(g, x, weights, HEAD)
    logits = _scaled(g, logits, decoder.logit_scale)
    most = g.constant([min(CANDIDATES, decoder.vocabulary)])
    values, places = g.ops("TopK", logits, most, outputs=2, attributes=_LAST_AXIS)
    for value, name, type, size in (
        (logits, LOGITS, TYPE, decoder.vocabulary),
        (values, CANDIDATE_LOGITS, TYPE, min(CANDIDATES, decoder.vocabulary)),
        (places, CANDIDATE_IDS, "int64", min(CANDIDATES, decoder.vocabulary)),
    ):
        g.output(value, name, type, ["logit_rows", size])


def _step(g: Graph, decoder: Decoder, weights: Weights, *, folded: bool) -> _Step:
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
    return _Step(decoder, weights, folded, filled, capacity, extension, angles, bias)


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


def _embedded(g: Graph, ids: str, decoder: Decoder, weights: Weights) -> str:
    """Return the stream [T, E] before the first layer."""
    x = lookup(g, g.op("Reshape", ids, g.constant([-1])), weights, EMBEDDING)
    x = _scaled(g, x, decoder.embedding_scale)
    if isinstance(decoder.positions, Learned):
        places = g.input(PLACES, "int64", ["tokens"])
        x = g.op("Add", x, lookup(g, places, weights, POSITIONS))
    return x


def _scaled(g: Graph, x: str, scale: float) -> str:
    return x if scale == 1 else g.op("Mul", x, g.constant(scale, TYPE))


def _sequential(g: Graph, x: str, branch: str, s: _Step, number: int) -> tuple[str, str]:
    y, x = _normed(g, x, branch, s, f"{layer_name(number)}.norm1")
    y, x = _normed(g, x, _attention(g, y, s, number), s, f"{layer_name(number)}.norm2")
    return x, _mlp(g, y, s, number)


def _parallel(g: Graph, x: str, branch: str, s: _Step, number: int) -> tuple[str, str]:
    first, x = _normed(g, x, branch, s, f"{layer_name(number)}.norm1")
    second = first
    if not s.decoder.one_norm:
        second, _ = _normed(g, x, "", s, f"{layer_name(number)}.norm2")
    return x, g.op("Add", _attention(g, first, s, number), _mlp(g, second, s, number))


_LAYERS: Mapping[str, Callable[[Graph, str, str, _Step, int], tuple[str, str]]] = {
    "sequential": _sequential,
    "parallel": _parallel,
}


def _normed(g: Graph, x: str, branch: str, s: _Step, name: str) -> tuple[str, str]:
    """Return the normed sum of the stream and what a branch adds to it, and the sum."""
    norm = s.decoder.norm
    weights = [stored(g, s.weights, f"{name}.weight")]
    weights += [stored(g, s.weights, f"{name}.bias")] if norm.bias else []
    with g.scope(name.rpartition(".")[2]):
        if not branch:
            return _norm_alone(g, x, weights, norm), x
        operator = {"layer": "SkipLayerNormalization", "rms": "SkipSimplifiedLayerNormalization"}
        normed, _, _, total = g.ops(
            operator[norm.kind],
            x,
            branch,
            *weights,
            domain=CONTRIB,
            outputs=4,
            unused=(1, 2),
            attributes={"epsilon": norm.epsilon},
        )
        return normed, total


def _norm_alone(g: Graph, x: str, weights: list[str], norm: Norm) -> str:
    if norm.kind == "layer":
        attributes = {"axis": -1, "epsilon": norm.epsilon}
        return g.op("LayerNormalization", x, *weights, attributes=attributes)
    (scale,) = weights
    return over_rms(g, x, scale, norm.epsilon, TYPE)


def _attention(g: Graph, x: str, s: _Step, number: int) -> str:
    name, attention = f"{layer_name(number)}.attention", s.decoder.attention
    heads, groups, size = attention.heads, attention.kv_heads, attention.head_size
    width = row_size(s.decoder, folded=s.folded)
    with g.scope("attention"):
        q, kv = (linear(g, x, s.weights, f"{name}.{part}") for part in ("q", "kv"))
        parts = [q, kv]
        if attention.head_norm or s.rotates:
            key, value = halves(g, kv)
            q, key = _placed(g, q, s, f"{name}.q", heads), _placed(g, key, s, f"{name}.k", groups)
            parts = [q, key, value]
        packed = g.op("Concat", *parts, attributes=_LAST_AXIS)
        if s.extension:
            apart = g.op("Reshape", packed, g.constant([-1, heads + 2 * groups, size]))
            packed = g.op("Concat", apart, s.extension, attributes=_LAST_AXIS)
        packed = g.op("Reshape", packed, g.constant([1, -1, (heads + 2 * groups) * width]))
        mixed = g.op("Reshape", _attended(g, packed, s, number), g.constant([-1, heads, width]))
        if width > size:
            ends = (g.constant([end]) for end in (0, size, 2))
            mixed = g.op("Slice", mixed, *ends)
        mixed = g.op("Reshape", mixed, g.constant([-1, heads * size]))
        return linear(g, mixed, s.weights, f"{name}.out")


def _placed(g: Graph, x: str, s: _Step, name: str, heads: int) -> str:
    """Return queries or keys [T, heads * D] normed and rotated as far as attention does not."""
    size = s.decoder.attention.head_size
    if s.decoder.attention.head_norm:
        weight = stored(g, s.weights, f"{name}_norm")
        x = g.op("Reshape", x, g.constant([-1, size]))
        x = _norm_alone(g, x, [weight], Norm("rms", s.decoder.norm.epsilon))
    if s.rotates:
        assert isinstance(s.decoder.positions, Rotary)
        x = g.op("Reshape", x, g.constant([-1, heads, size]))
        x = rotated_heads(g, x, s.angles, size, s.decoder.positions.dims)
    return g.op("Reshape", x, g.constant([-1, heads * size]))


def _attended(g: Graph, packed: str, s: _Step, number: int) -> str:
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


def _mlp(g: Graph, x: str, s: _Step, number: int) -> str:
    mlp, name = s.decoder.mlp, f"{layer_name(number)}.mlp"
    activation = _ACTIVATIONS[mlp.activation]
    with g.scope("mlp"):
        if mlp.gated:
            gate, up = halves(g, linear(g, x, s.weights, f"{name}.gate_up"))
            hidden = g.op("Mul", activation(g, gate), up)
        else:
            hidden = activation(g, linear(g, x, s.weights, f"{name}.up"))
        hidden = rotated(g, hidden, s.weights, mlp.hidden)
        return linear(g, hidden, s.weights, f"{name}.down")


def _silu(g: Graph, x: str) -> str:
    return g.op("QuickGelu", x, domain=CONTRIB, attributes={"alpha": 1.0})


def _gelu(g: Graph, x: str) -> str:
    return g.op("Gelu", x, attributes={"approximate": "none"})


def _gelu_tanh(g: Graph, x: str) -> str:
    return g.op("Gelu", x, attributes={"approximate": "tanh"})


_ACTIVATIONS: Mapping[str, Callable[[Graph, str], str]] = {
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}
