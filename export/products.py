"""Stored weights in a graph: products and lookups, for each form that a weight may have.

Activations are [rows, K] throughout, rows being batch times new tokens, so that every form of
product sees two dimensions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, numpy_helper

from ..runtime.bundle.decoder import EMBEDDING
from ..runtime.bundle.places import Place, tensor_name
from .graph import CONTRIB, ONNX_TYPES, Graph

_AS_MATRIX = 3  # axes of codes that products read
_FLOATS = ("float16", "float32")
LARGEST_BYTE = 127  # largest magnitude of a quantized activation


@dataclass(frozen=True)
class Weights:
    """Where all weights of a variant lie, and the numpy type of its activations."""

    places: Mapping[str, Place]
    activations: str


def stored(g: Graph, weights: Weights, name: str, part: str = "values") -> str:
    """Return the value of a part of a weight; floats are of the activations' type.

    What lies in another type is cast, once, when the graph is loaded.
    """
    place = weights.places[name].parts[part]
    value = g.weight(tensor_name(name, part), place)
    if place.type not in _FLOATS or place.type == weights.activations:
        return value
    return g.op("Cast", value, attributes={"to": ONNX_TYPES[weights.activations]})


def linear(g: Graph, x: str, weights: Weights, name: str) -> str:
    """Multiply [rows, K] by a stored weight [N, K] and add its bias, if it has one: [rows, N]."""
    with g.scope(name.rpartition(".")[2]):
        return _biased(g, _PRODUCTS[weights.places[name].form](g, x, weights, name), weights, name)


def tied_linear(g: Graph, x: str, weights: Weights, name: str) -> str:
    """Multiply [rows, E] by the embedding [V, E], which is the head, too."""
    attributes = {"alpha": 1.0, "transB": 1}
    with g.scope(name):
        if weights.places[EMBEDDING].form == "blocks":
            y = _product_blocks(g, x, weights, EMBEDDING)
        else:  # floats, which lie as lookups read them
            table = stored(g, weights, EMBEDDING)
            y = g.op("FusedMatMul", x, table, domain=CONTRIB, attributes=attributes)
        return _biased(g, y, weights, name)


def _biased(g: Graph, y: str, weights: Weights, name: str) -> str:
    bias = f"{name}.bias"
    return g.op("Add", y, stored(g, weights, bias)) if bias in weights.places else y


def lookup(g: Graph, ids: str, weights: Weights, name: str) -> str:
    """Look up ids [rows] in a stored table [V, E]: [rows, E]."""
    with g.scope(name.rpartition(".")[2]):
        return _LOOKUPS[weights.places[name].form](g, ids, weights, name)


def _product_floats(g: Graph, x: str, weights: Weights, name: str) -> str:
    return g.op("MatMul", x, stored(g, weights, name))


def _product_blocks(g: Graph, x: str, weights: Weights, name: str) -> str:
    place = weights.places[name]
    rows, columns = place.shape
    attributes = {
        "K": columns,
        "N": rows,
        "bits": place.bits,
        "block_size": place.block,
        # int8 products: on a CPU twice as fast as float ones, errors within 1.5e-5.
        "accuracy_level": 4 if weights.activations == "float32" else 0,
    }
    codes, scales = (stored(g, weights, name, part) for part in ("codes", "scales"))
    return g.op("MatMulNBits", x, codes, scales, domain=CONTRIB, attributes=attributes)


def _product_rows(g: Graph, x: str, weights: Weights, name: str) -> str:
    """Multiply bytes by bytes, then undo both scales.

    Activations are unsigned around 128, weights signed: the pairing with the fastest kernels. The
    operator takes one scale for all activations, so it is given 1, and each row's own follows.
    Further terms stand for what the ones before rounded off; they are more rows of one product.
    """
    codes, scales = (stored(g, weights, name, part) for part in ("codes", "scales"))
    one, middle = g.constant(1, "float32"), g.constant(128, "uint8")
    terms = [_bytes(g, x)]
    while len(terms) < weights.places[name].terms:
        x = g.op("Sub", x, _floats(g, *terms[-1]))
        terms.append(_bytes(g, x))
    count = len(terms)
    rows = [bytes_ for bytes_, _ in terms]
    stacked = g.op("Concat", *rows, attributes={"axis": 0}) if count > 1 else rows[0]
    products = g.op("MatMulIntegerToFloat", stacked, codes, one, scales, middle, domain=CONTRIB)
    apart = (
        g.ops("Split", products, outputs=count, attributes={"axis": 0, "num_outputs": count})
        if count > 1
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


def _lookup_floats(g: Graph, ids: str, weights: Weights, name: str) -> str:
    return g.op("Gather", stored(g, weights, name), ids)


def _lookup_rows(g: Graph, ids: str, weights: Weights, name: str) -> str:
    codes = g.op("Gather", stored(g, weights, name, "codes"), ids)
    floats = g.op("Cast", codes, attributes={"to": ONNX_TYPES["float32"]})
    scales = g.op("Gather", stored(g, weights, name, "scales"), ids)
    return g.op("Mul", floats, g.op("Unsqueeze", scales, g.constant([1])))


def _lookup_blocks(g: Graph, ids: str, weights: Weights, name: str) -> str:
    place = weights.places[name]
    attributes = {
        "bits": place.bits,
        "block_size": place.block,
        "gather_axis": 0,
        "quantize_axis": 1,
    }
    table, scales = (stored(g, weights, name, part) for part in ("codes", "scales"))
    if len(place.parts["codes"].shape) == _AS_MATRIX:
        return _lookup_matrix(g, ids, table, scales, place, weights.activations)
    if weights.activations != "float32":
        return _lookup_nibbles(g, ids, table, scales, place, weights.activations)
    return g.op("GatherBlockQuantized", table, ids, scales, domain=CONTRIB, attributes=attributes)


def _lookup_matrix(
    g: Graph, ids: str, table: str, scales: str, place: Place, activations: str
) -> str:
    """Look up rows of 8 bits that lie as products read them: codes [V, blocks, block]."""
    columns, padded = place.shape[1], math.prod(place.parts["codes"].shape[1:])
    codes = g.op("Cast", g.op("Gather", table, ids), attributes={"to": ONNX_TYPES[activations]})
    steps = g.op("Unsqueeze", g.op("Gather", scales, ids), g.constant([2]))
    rows = g.op("Mul", g.op("Sub", codes, g.constant(128, activations)), steps)
    rows = g.op("Reshape", rows, g.constant([-1, padded]))
    if padded == columns:
        return rows
    return g.op("Slice", rows, *(g.constant([number]) for number in (0, columns, 1)))


def _lookup_nibbles(
    g: Graph, ids: str, table: str, scales: str, place: Place, activations: str
) -> str:
    """Look up rows of 4 bits, two in a byte: codes [V, ceil(K / 2)].

    In plain operators, as onnxruntime's own takes wrong scales on a GPU where a row's last block is
    short (1.31.1).
    """
    columns, padded = place.shape[1], 2 * place.parts["codes"].shape[1]
    numbers = np.arange(256)
    both = np.stack([numbers % 16, numbers // 16], axis=1) - 8
    bytes_ = g.op("Cast", g.op("Gather", table, ids), attributes={"to": ONNX_TYPES["int32"]})
    codes = g.op("Gather", g.constant(both, activations), bytes_)
    codes = g.op("Reshape", codes, g.constant([-1, padded]))
    blocks = g.constant(np.arange(padded) // place.block)
    steps = g.op("Gather", g.op("Gather", scales, ids), blocks, attributes={"axis": 1})
    rows = g.op("Mul", codes, steps)
    if padded == columns:
        return rows
    return g.op("Slice", rows, *(g.constant([number]) for number in (0, columns, 1)))


_Build = Callable[[Graph, str, Weights, str], str]

_PRODUCTS: dict[str, _Build] = {
    "floats": _product_floats,
    "rows": _product_rows,
    "blocks": _product_blocks,
}
_LOOKUPS: dict[str, _Build] = {
    "floats": _lookup_floats,
    "rows": _lookup_rows,
    "blocks": _lookup_blocks,
}
