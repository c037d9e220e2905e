"""The graph of a decoder for a GPU: few kernels a token, and no shape that moves.

Weights are those of the variant's other graphs; activations are float16. Caches are buffers of
fixed capacity, [1, G, capacity, D] a layer and part, past and present in one: what moves is how
many of their rows are filled. So the work of a token can be captured once and launched as one.

ALiBi is folded into attention: eight more numbers of each query and key multiply to its bias. What
they are made of is a table, and so are the angles of rotary positions (runtime/bundle/gpu.py). The
form with a bias added to scores is slower and as exact as scores are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..runtime.bundle.contract import INPUT_IDS, LOGITS
from ..runtime.bundle.decoder import (
    EMBEDDING,
    HEAD,
    LAST_NORM,
    POSITIONS,
    Decoder,
    Learned,
    layer_name,
)
from ..runtime.bundle.gpu import (
    CANDIDATE_IDS,
    CANDIDATE_LOGITS,
    CANDIDATES,
    LOGIT_ROWS,
    PLACES,
    TYPE,
)
from ..runtime.bundle.places import NORM_MATRIX
from .blocks import ACTIVATIONS, halves, rotated
from .gpu_attention import LAST_AXIS, Step, attention, norm_alone, step_of
from .graph import CONTRIB, Graph
from .products import Weights, linear, lookup, stored, tied_linear


def build_gpu(g: Graph, decoder: Decoder, weights: Weights, *, folded: bool = True) -> None:
    """Build ids [1, T] over a cache -> logits of some rows, and the greatest of them.

    Without `folded`, ALiBi is a bias of scores; decoders with other positions have no such form.
    """
    ids = g.input(INPUT_IDS, "int64", [1, "tokens"])
    logit_rows = g.input(LOGIT_ROWS, "int64", ["logit_rows"])
    s = step_of(g, decoder, weights, folded=folded)
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
    values, places = g.ops("TopK", logits, most, outputs=2, attributes=LAST_AXIS)
    for value, name, type, size in (
        (logits, LOGITS, TYPE, decoder.vocabulary),
        (values, CANDIDATE_LOGITS, TYPE, min(CANDIDATES, decoder.vocabulary)),
        (places, CANDIDATE_IDS, "int64", min(CANDIDATES, decoder.vocabulary)),
    ):
        g.output(value, name, type, ["logit_rows", size])


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


def _sequential(g: Graph, x: str, branch: str, s: Step, number: int) -> tuple[str, str]:
    y, x = _normed(g, x, branch, s, f"{layer_name(number)}.norm1")
    y, x = _normed(g, x, attention(g, y, s, number), s, f"{layer_name(number)}.norm2")
    return x, _mlp(g, y, s, number)


def _parallel(g: Graph, x: str, branch: str, s: Step, number: int) -> tuple[str, str]:
    first, x = _normed(g, x, branch, s, f"{layer_name(number)}.norm1")
    second = first
    if not s.decoder.one_norm:
        second, _ = _normed(g, x, "", s, f"{layer_name(number)}.norm2")
    return x, g.op("Add", attention(g, first, s, number), _mlp(g, second, s, number))


_LAYERS: Mapping[str, Callable[[Graph, str, str, Step, int], tuple[str, str]]] = {
    "sequential": _sequential,
    "parallel": _parallel,
}


def _normed(g: Graph, x: str, branch: str, s: Step, name: str) -> tuple[str, str]:
    """Return the normed sum of the stream and what a branch adds to it, and the sum."""
    norm = s.decoder.norm
    weights = [stored(g, s.weights, f"{name}.weight")]
    weights += [stored(g, s.weights, f"{name}.bias")] if norm.bias else []
    with g.scope(name.rpartition(".")[2]):
        if not branch:
            return norm_alone(g, x, weights, norm), x
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


def _mlp(g: Graph, x: str, s: Step, number: int) -> str:
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


# x * sigmoid(x) is one kernel by this name.
_ACTIVATIONS: Mapping[str, Callable[[Graph, str], str]] = {**ACTIVATIONS, "silu": _silu}
