"""Parts of a layer as functions on a graph, and the tables by which a decoder's facts name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..runtime.bundle.decoder import Norm
from ..runtime.bundle.places import ROTATION
from .graph import Graph
from .products import Weights, linear, stored


def normed(g: Graph, x: str, weights: Weights, name: str, norm: Norm) -> str:
    """Normalize [rows, E] over E by the weights `name`."""
    with g.scope(name.rpartition(".")[2]):
        inputs = [stored(g, weights, f"{name}.weight")]
        inputs += [stored(g, weights, f"{name}.bias")] if norm.bias else []
        attributes = {"axis": -1, "epsilon": norm.epsilon}
        return g.op(NORMS[norm.kind], x, *inputs, attributes=attributes)


# Simplified: without the mean. onnxruntime's own, in the standard domain.
NORMS: Mapping[str, str] = {"layer": "LayerNormalization", "rms": "SimplifiedLayerNormalization"}


def head_normed(
    g: Graph, x: str, weights: Weights, name: str, norm: Norm, width: int, size: int
) -> str:
    """Normalize each head of [rows, width] over its `size` numbers, leaving their mean."""
    with g.scope(name.rpartition(".")[2]):
        heads = g.op("Reshape", x, g.constant([-1, size]))
        attributes = {"axis": -1, "epsilon": norm.epsilon}
        done = g.op(NORMS["rms"], heads, stored(g, weights, name), attributes=attributes)
        return g.op("Reshape", done, g.constant([-1, width]))


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
