"""Parts of a layer as functions on a graph, and the tables by which a decoder's facts name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..runtime.bundle.decoder import Norm
from ..runtime.bundle.places import ROTATION
from .graph import ONNX_TYPES, Graph
from .products import Weights, linear, stored


def layer_norm(g: Graph, x: str, weights: Weights, name: str, norm: Norm) -> str:
    """Return x less its mean, over its deviation."""
    inputs = [stored(g, weights, f"{name}.weight")]
    inputs += [stored(g, weights, f"{name}.bias")] if norm.bias else []
    attributes = {"axis": -1, "epsilon": norm.epsilon}
    return g.op("LayerNormalization", x, *inputs, attributes=attributes)


def rms_norm(g: Graph, x: str, weights: Weights, name: str, norm: Norm) -> str:
    """Return x over the root of its mean square."""
    scale = stored(g, weights, f"{name}.weight")
    return over_rms(g, x, scale, norm.epsilon, weights.activations)


NORMS: Mapping[str, Callable[[Graph, str, Weights, str, Norm], str]] = {
    "layer": layer_norm,
    "rms": rms_norm,
}


def normed(g: Graph, x: str, weights: Weights, name: str, norm: Norm) -> str:
    """Normalize [rows, E] over E by the weights `name`."""
    with g.scope(name.rpartition(".")[2]):
        return NORMS[norm.kind](g, x, weights, name, norm)


def head_normed(g: Graph, x: str, weights: Weights, name: str, norm: Norm, size: int) -> str:
    """Return each head of [rows, heads * D] over the root of its mean square: [.., D]."""
    with g.scope(name.rpartition(".")[2]):
        heads = g.op("Reshape", x, g.constant([-1, size]))
        scale = stored(g, weights, name)
        return over_rms(g, heads, scale, norm.epsilon, weights.activations)


def over_rms(g: Graph, x: str, scale: str, epsilon: float, activations: str) -> str:
    """Normalize over the last axis, in fp32; onnxruntime makes one operator of all these."""
    if activations != "float32":
        x = g.op("Cast", x, attributes={"to": ONNX_TYPES["float32"]})
    squares = g.op("Pow", x, g.constant(2, "float32"))
    mean = g.op("ReduceMean", squares, g.constant([-1]), attributes={"keepdims": 1})
    root = g.op("Sqrt", g.op("Add", mean, g.constant(epsilon, "float32")))
    ratio = g.op("Div", x, root)
    if activations != "float32":
        ratio = g.op("Cast", ratio, attributes={"to": ONNX_TYPES[activations]})
    return g.op("Mul", ratio, scale)


def silu(g: Graph, x: str) -> str:
    """Return x * sigmoid(x)."""
    return g.op("Mul", x, g.op("Sigmoid", x))


def gelu(g: Graph, x: str) -> str:
    """Return GELU with the error function itself."""
    return g.op("Gelu", x, attributes={"approximate": "none"})


def gelu_tanh(g: Graph, x: str) -> str:
    """Return GELU with the error function approached by tanh."""
    return g.op("Gelu", x, attributes={"approximate": "tanh"})


ACTIVATIONS: Mapping[str, Callable[[Graph, str], str]] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
}


def halves(g: Graph, x: str) -> list[str]:
    """Cut [rows, 2N] into [rows, N] and [rows, N]."""
    return g.ops("Split", x, outputs=2, attributes={"axis": -1, "num_outputs": 2})


def rotated(g: Graph, x: str, weights: Weights, width: int) -> str:
    """Rotate [rows, width] in blocks, if the variant has a rotation; see quant/rotation.py."""
    if ROTATION not in weights.places:
        return x
    size = weights.places[ROTATION].shape[0]
    blocks = linear(g, g.op("Reshape", x, g.constant([-1, size])), weights, ROTATION)
    return g.op("Reshape", blocks, g.constant([-1, width]))
