"""Parts of a transformer as functions on a graph: values in, values out.

The stream of activations is [rows, E] throughout, rows being batch times new tokens, so that
every form of matrix product sees two dimensions. Attention alone looks at the sequence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, numpy_helper

from ..quant.rotation import turn
from ..quant.schemes import Floats, Form, Rows
from .graph import CONTRIB, ONNX_TYPES, Graph, Located

# Added to scores of keys that must not be seen. Far below any real score, yet finite in fp16,
# so that a row with nothing to see (padding) becomes uniform and not NaN.
HIDDEN = {"float32": -1e9, "float16": -6e4}

LARGEST_BYTE = 127  # largest magnitude of a quantized activation


@dataclass(frozen=True)
class Stored:
    """A weight [N, K] in the data file: its form and the places of its parts."""

    form: Form
    shape: tuple[int, int]
    parts: dict[str, Located]


@dataclass(frozen=True)
class Weights:
    """All weights of a variant, the type of its activations, and whether these are turned."""

    stored: Mapping[str, Stored]
    activations: str
    turned: bool = False


@dataclass(frozen=True)
class Sequence:
    """Shared values of one run: sizes of batch, new and all tokens, and the score bias."""

    batch: str  # [1]
    new: str  # scalar T
    total: str  # scalar S + T
    bias: str  # [T, H, S+T] or [B, T, H, S+T]


def layer_norm(g: Graph, x: str, weights: Weights, name: str, epsilon: float) -> str:
    """Normalize [rows, E] over E: mean subtracted, weight only."""
    stored = weights.stored[name]
    scale = g.weight(name, stored.parts["values"], (stored.shape[1],))
    return g.op("LayerNormalization", x, scale, attributes={"axis": -1, "epsilon": epsilon})


def linear(g: Graph, x: str, weights: Weights, name: str) -> str:
    """Multiply [rows, K] by a stored weight [N, K], giving [rows, N]."""
    stored = weights.stored[name]
    outputs, inputs = stored.shape
    if isinstance(stored.form, Floats):
        return g.op("MatMul", x, g.weight(name, stored.parts["values"], (inputs, outputs)))
    if isinstance(stored.form, Rows):
        return _linear_rows(g, x, stored, stored.form, name)
    codes = g.weight(f"{name}.codes", stored.parts["codes"])
    scales = _scales(g, weights, name)
    attributes = {
        "K": inputs,
        "N": outputs,
        "bits": stored.form.bits,
        "block_size": stored.form.size,
        "accuracy_level": 4,  # int8 products: twice as fast as float ones, errors within 1.5e-5
    }
    return g.op("MatMulNBits", x, codes, scales, domain=CONTRIB, attributes=attributes)


def _scales(g: Graph, weights: Weights, name: str) -> str:
    """Return scales in the activations' type, as kernels want them; cast once, when loaded."""
    located = weights.stored[name].parts["scales"]
    scales = g.weight(f"{name}.scales", located)
    if located.type == weights.activations:
        return scales
    return g.op("Cast", scales, attributes={"to": ONNX_TYPES[weights.activations]})


def _linear_rows(g: Graph, x: str, stored: Stored, form: Rows, name: str) -> str:
    """Multiply bytes by bytes, then undo both scales.

    Activations are unsigned around 128, weights signed: the pairing with the fastest kernels. The
    operator takes one scale for all activations, so it is given 1, and each row's own follows.
    Further terms stand for what the ones before rounded off; they are more rows of one product.
    """
    codes = g.weight(f"{name}.codes", stored.parts["codes"], (stored.shape[1], stored.shape[0]))
    scales = g.weight(f"{name}.scales", stored.parts["scales"])
    one, middle = g.constant(1, "float32"), g.constant(128, "uint8")
    terms = [_bytes(g, x)]
    while len(terms) < form.terms:
        x = g.op("Sub", x, _floats(g, *terms[-1]))
        terms.append(_bytes(g, x))
    rows = [bytes_ for bytes_, _ in terms]
    stacked = g.op("Concat", *rows, attributes={"axis": 0}) if len(rows) > 1 else rows[0]
    products = g.op("MatMulIntegerToFloat", stacked, codes, one, scales, middle, domain=CONTRIB)
    apart = (
        g.ops(
            "Split", products, outputs=len(rows), attributes={"axis": 0, "num_outputs": len(rows)}
        )
        if len(rows) > 1
        else [products]
    )
    scaled = [g.op("Mul", part, step) for part, (_, step) in zip(apart, terms, strict=True)]
    return functools.reduce(functools.partial(g.op, "Add"), scaled)


def _bytes(g: Graph, x: str) -> tuple[str, str]:
    """Return [rows, K] as bytes around 128, and the step of each row, [rows, 1]."""
    size = g.op("ReduceMax", g.op("Abs", x), g.constant([-1]), attributes={"keepdims": 0})
    step = g.op("Mul", size, g.constant(1 / LARGEST_BYTE, "float32"))
    step = g.op("Max", step, g.constant(1e-30, "float32"))  # an all-zero row must not divide by 0
    middles = g.op(
        "ConstantOfShape",
        g.op("Shape", step),
        attributes={"value": _one_value(128, "uint8")},
    )
    bytes_ = g.op("QuantizeLinear", x, step, middles, attributes={"axis": 0})
    return bytes_, g.op("Unsqueeze", step, g.constant([1]))


def _floats(g: Graph, bytes_: str, step: str) -> str:
    """Return what bytes around 128 stand for."""
    floats = g.op("Cast", bytes_, attributes={"to": ONNX_TYPES["float32"]})
    return g.op("Mul", g.op("Sub", floats, g.constant(128, "float32")), step)


def _one_value(value: int, type: str) -> TensorProto:
    return numpy_helper.from_array(np.array([value], type))


def embedding(g: Graph, ids: str, weights: Weights, name: str) -> str:
    """Look up ids [rows] in a stored table [V, E], giving [rows, E]."""
    stored = weights.stored[name]
    if isinstance(stored.form, Floats):
        return g.op("Gather", g.weight(name, stored.parts["values"]), ids)
    codes, scales = stored.parts["codes"], stored.parts["scales"]
    if isinstance(stored.form, Rows):
        found = g.op("Gather", g.weight(f"{name}.codes", codes), ids)
        floats = g.op("Cast", found, attributes={"to": ONNX_TYPES["float32"]})
        scale = g.op("Gather", g.weight(f"{name}.scales", scales, (stored.shape[0], 1)), ids)
        return g.op("Mul", floats, scale)
    attributes = {
        "bits": stored.form.bits,
        "block_size": stored.form.size,
        "gather_axis": 0,
        "quantize_axis": 1,
    }
    table, scale = g.weight(f"{name}.codes", codes), _scales(g, weights, name)
    return g.op("GatherBlockQuantized", table, ids, scale, domain=CONTRIB, attributes=attributes)


def sequence(
    g: Graph, ids: str, past_key: str, slopes: list[float], activations: str, mask: str | None
) -> Sequence:
    """Work out once what every layer shares.

    The bias is ALiBi in its relative form, slope * (key - query), which stays exact near the
    diagonal in any precision, and `HIDDEN` where the key lies ahead or `mask` [B, S+T] is 0.
    """
    batch = _size(g, ids, 0, vector=True)
    new, past = _size(g, ids, 1), _size(g, past_key, 2)
    total = g.op("Add", past, new)
    one = g.constant(1)
    keys = g.op("Unsqueeze", g.op("Range", g.constant(0), total, one), g.constant([0]))
    queries = g.op("Unsqueeze", g.op("Range", past, total, one), g.constant([1]))
    ahead = g.op("Unsqueeze", g.op("Sub", keys, queries), g.constant([1]))  # [T, 1, S+T]
    visible = g.op("LessOrEqual", ahead, g.constant(0))
    if mask is not None:
        seen = g.op("LessOrEqual", one, g.op("Unsqueeze", mask, g.constant([1, 2])))
        visible = g.op("And", visible, seen)  # [B, T, 1, S+T]
    distance = g.op("Cast", ahead, attributes={"to": ONNX_TYPES["float32"]})
    alibi = g.op("Mul", distance, g.constant([[slope] for slope in slopes], "float32"))
    bias = g.op("Where", visible, alibi, g.constant(HIDDEN[activations], "float32"))
    if activations != "float32":
        bias = g.op("Cast", bias, attributes={"to": ONNX_TYPES[activations]})
    return Sequence(batch, new, total, bias)


def alibi_slopes(heads: int) -> list[float]:
    """Return one slope a head: geometric for a power of two, then every other of twice as many."""
    power: int = 2 ** int(math.log2(heads))
    first = [2 ** (-8 / power * h) for h in range(1, power + 1)]
    return first + [2 ** (-4 / power * h) for h in range(1, 2 * (heads - power), 2)]


def _size(g: Graph, x: str, axis: int, *, vector: bool = False) -> str:
    shape = g.op("Shape", x, attributes={"start": axis, "end": axis + 1})
    return shape if vector else g.op("Reshape", shape, g.constant([], "int64"))


def heads_last(g: Graph, x: str, s: Sequence, head_size: int) -> str:
    """See [B*T, heads*D] as [B, 1, T*heads, D]."""
    tail = g.constant([1, -1, head_size])
    return g.op("Reshape", x, g.op("Concat", s.batch, tail, attributes={"axis": 0}))


def _weights_of(g: Graph, scores: str, s: Sequence, heads: int) -> str:
    """Turn scores [B, 1, T*H, S+T] into weights of the same shape."""
    vector = g.constant([1])
    total = g.op("Reshape", s.total, vector)
    shape = g.op("Concat", s.batch, g.constant([-1, heads]), total, attributes={"axis": 0})
    biased = g.op("Add", g.op("Reshape", scores, shape), s.bias)
    weights = g.op("Softmax", biased, attributes={"axis": -1})
    flat = g.op("Concat", s.batch, g.constant([1, -1]), total, attributes={"axis": 0})
    return g.op("Reshape", weights, flat)


def attend(g: Graph, q: str, keys: str, values: str, s: Sequence, heads: int, size: int) -> str:
    """Attention to keys and values [B, 1, S+T, D]: q [B, 1, T*H, D] -> [B*T, H*D].

    With one key/value head the query heads are simply more rows of one product. The cache is copied
    to have old and new rows in one piece; without that scores must be, which are more: prompts took
    an eighth longer with int8 and a twentieth with int4, single tokens as long.
    """
    attributes = {"alpha": float(size**-0.5), "transB": 1}
    scores = g.op("FusedMatMul", q, keys, domain=CONTRIB, attributes=attributes)
    weights = _weights_of(g, scores, s, heads)
    return g.op("Reshape", g.op("MatMul", weights, values), g.constant([-1, heads * size]))


def swiglu(g: Graph, gate_up: str) -> str:
    """Return silu(gate) * up for [rows, 2F], gate first: [rows, F]."""
    gate, up = g.ops("Split", gate_up, outputs=2, attributes={"axis": -1, "num_outputs": 2})
    return g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), up)


def turned(g: Graph, x: str, width: int, size: int) -> str:
    """Turn [rows, width] in blocks of `size`; see quant/rotation.py."""
    split = g.op("Reshape", x, g.constant([-1, size]))
    done = g.op("MatMul", split, g.constant(turn(size).T, "float32"))
    return g.op("Reshape", done, g.constant([-1, width]))


def last_rows(g: Graph, x: str, s: Sequence, keep: str, width: int) -> str:
    """Keep the last `keep` tokens of each sequence: [B*T, E] -> [B*keep, E]."""
    shape = g.op("Concat", s.batch, g.constant([-1, width]), attributes={"axis": 0})
    start = g.op("Reshape", g.op("Sub", s.new, keep), g.constant([1]))
    end = g.op("Reshape", s.new, g.constant([1]))
    kept = g.op("Slice", g.op("Reshape", x, shape), start, end, g.constant([1]))
    return g.op("Reshape", kept, g.constant([-1, width]))


def by_batch(g: Graph, x: str, s: Sequence, width: int) -> str:
    """See [B*n, width] as [B, n, width]."""
    shape = g.op("Concat", s.batch, g.constant([-1, width]), attributes={"axis": 0})
    return g.op("Reshape", x, shape)
