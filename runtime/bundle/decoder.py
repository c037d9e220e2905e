"""A decoder as a table of facts: what a bundle's manifest says of its model, and everybody reads.

One frozen dataclass a part; `to_json` writes it, `decoder_of` reads it back and refuses what no
model has. Weights are named by their role, `layers.3.attention.q`: `weight_shapes` lists all that a
decoder has.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .limits import SIZES


@dataclass(frozen=True)
class Norm:
    """Layer norm, (x - mean) / sqrt(variance + epsilon), or RMS norm, which leaves the mean."""

    kind: Literal["layer", "rms"]
    epsilon: float
    bias: bool = False


@dataclass(frozen=True)
class Alibi:
    """Scores less `slope` times the distance of key and query; a slope a query head."""

    slopes: tuple[float, ...]


@dataclass(frozen=True)
class Rotary:
    """The first `dims` numbers of each query and key rotated by position * base^(-2i / dims).

    Number i is paired with i + dims / 2. Positions are divided by `factor` (linear scaling).
    """

    base: float
    dims: int
    factor: float = 1.0


@dataclass(frozen=True)
class Learned:
    """A row of a table added to the embedding, by position."""

    rows: int


Positions = Alibi | Rotary | Learned


@dataclass(frozen=True)
class Attention:
    """Query heads in groups, each group with one key and value head.

    Scores are multiplied with `scale`. `head_norm`: queries and keys are RMS-normed head by head,
    before they are rotated. With a `window` a token sees that many keys, its own among them.
    """

    heads: int
    kv_heads: int
    head_size: int
    scale: float
    bias_qkv: bool = False
    bias_out: bool = False
    head_norm: bool = False
    window: int = 0


Activation = Literal["silu", "gelu", "gelu_tanh"]


@dataclass(frozen=True)
class Mlp:
    """down(activation(gate) * up), or ungated down(activation(up))."""

    hidden: int
    activation: Activation
    gated: bool
    bias: bool = False


@dataclass(frozen=True)
class Decoder:
    """A whole model.

    Args:
        layers: how many.
        width: E, of the stream that layers read and add to.
        vocabulary: V, rows of the embedding and of logits.
        context: the most tokens of a text.
        tied: whether the head's weights are the embedding's.
        norm: of the two norms of a layer, and the last one.
        positions: how order comes in.
        attention: see there.
        mlp: see there.
        residual: whether the MLP reads the stream after attention was added to it, or both the
            stream before.
        one_norm: of parallel layers, whether one norm is before both.
        head_bias: whether logits have a bias.
        embedding_scale: what embeddings are multiplied with.
        logit_scale: what logits are multiplied with.

    """

    layers: int
    width: int
    vocabulary: int
    context: int
    tied: bool
    norm: Norm
    positions: Positions
    attention: Attention
    mlp: Mlp
    residual: Literal["sequential", "parallel"] = "sequential"
    one_norm: bool = False
    head_bias: bool = False
    embedding_scale: float = 1.0
    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no model has.

        Raises:
            ValueError: listing everything that is wrong.

        """
        if problems := list(_problems(self)):
            raise ValueError("; ".join(problems))


_KINDS: dict[str, type[Positions]] = {"alibi": Alibi, "rotary": Rotary, "learned": Learned}
_FIELDS: dict[type[Any], dict[str, Any]] = {
    kind: typing.get_type_hints(kind)
    for kind in (Decoder, Norm, Alibi, Rotary, Learned, Attention, Mlp)
}


# Facts that bundles of before did not have, and what they mean there.
_LATER: dict[type[Any], dict[str, Any]] = {Attention: {"window": 0}}


def to_json(decoder: Decoder) -> dict[str, Any]:
    """Return a decoder as JSON has it; positions say their kind."""
    plain = dataclasses.asdict(decoder)
    kind = next(name for name, of in _KINDS.items() if isinstance(decoder.positions, of))
    plain["positions"] = {"kind": kind, **plain["positions"]}
    return plain


def decoder_of(value: object) -> Decoder:
    """Return the decoder that `to_json` wrote.

    Raises:
        ValueError: when it is none: a field that is missing, unknown, or of a wrong type or size.

    """
    return typing.cast(Decoder, _read(Decoder, value, "decoder"))


def _read(kind: type[Any], value: object, name: str) -> object:
    """Return a dataclass of what JSON holds."""
    content = _object(value, name)
    hints = _FIELDS[kind]
    content = {**_LATER.get(kind, {}), **content}
    if unlike := content.keys() ^ hints.keys():
        raise ValueError(f"{name} lacks or should not have {', '.join(sorted(map(str, unlike)))}")
    return kind(**{one: _value(hints[one], content[one], f"{name}.{one}") for one in hints})


def _positions(value: object, name: str) -> object:
    content = _object(value, name)
    kind = content.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"{name}.kind is {kind!r:.40}, expected one of {', '.join(_KINDS)}")
    return _read(_KINDS[kind], content, name)


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r:.40}, expected an object")
    return dict(value)


def _value(hint: Any, value: object, name: str) -> object:
    if hint == Positions:
        return _positions(value, name)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _read(hint, value, name)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(isinstance(one, float) for one in value):
            raise ValueError(f"{name} is {value!r:.40}, expected a list of numbers")
        return tuple(value)
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            expected = ", ".join(map(str, typing.get_args(hint)))
            raise ValueError(f"{name} is {value!r:.40}, expected one of {expected}")
        return value
    if type(value) is not hint:  # bool is a kind of int
        raise ValueError(f"{name} is {value!r:.40}, expected {hint.__name__}")
    return value


# Numbers that single precision, in which graphs and kernels compute, takes neither for zero nor for
# infinite, also where two of them are multiplied.
_LEAST, _MOST = 1e-18, 1e18


def _is_positive(number: float) -> bool:
    return _LEAST <= number <= _MOST  # which no NaN is


def _problems(decoder: Decoder) -> Iterator[str]:
    attention, mlp, positions = decoder.attention, decoder.mlp, decoder.positions
    sizes = {
        "layers": decoder.layers,
        "width": decoder.width,
        "vocabulary": decoder.vocabulary,
        "context": decoder.context,
        "heads": attention.heads,
        "kv_heads": attention.kv_heads,
        "head_size": attention.head_size,
        "hidden": mlp.hidden,
    }
    wrong = {name: size for name, size in sizes.items() if not 0 < size <= SIZES[name]}
    yield from (f"{name} is {size}, expected 1 to {SIZES[name]}" for name, size in wrong.items())
    if not wrong and attention.heads % attention.kv_heads:
        yield f"{attention.heads} heads in {attention.kv_heads} groups"
    if attention.heads * attention.head_size > SIZES["width"]:
        yield f"{attention.heads} heads of {attention.head_size}, more than {SIZES['width']}"
    if not (_is_positive(decoder.norm.epsilon) and decoder.norm.epsilon < 1):
        yield f"norm.epsilon is {decoder.norm.epsilon}, expected like 1e-05"
    scales = (attention.scale, decoder.embedding_scale, decoder.logit_scale)
    if not all(map(_is_positive, scales)):
        yield f"scales {scales}, expected numbers above 0 of single precision"
    if attention.scale > 1:
        yield f"attention.scale is {attention.scale}, expected 1 at most"
    if not 0 <= attention.window <= SIZES["context"]:
        yield f"attention.window is {attention.window}, expected 0 to {SIZES['context']}"
    if decoder.one_norm and decoder.residual != "parallel":
        yield "one_norm without parallel layers"
    if isinstance(positions, Alibi):
        if len(positions.slopes) != attention.heads:
            yield f"{len(positions.slopes)} slopes for {attention.heads} heads"
        if not all(map(_is_positive, positions.slopes)):
            yield "slopes that are not above 0, or of no single precision"
    elif isinstance(positions, Rotary):
        if not 0 < positions.dims <= attention.head_size or positions.dims % 2:
            yield f"positions.dims is {positions.dims}, expected even, to {attention.head_size}"
        if not (1 <= positions.base <= _MOST and _is_positive(positions.factor)):
            yield (
                f"positions of base {positions.base} and factor {positions.factor}, expected 1 or "
                "more, and above 0"
            )
    elif not decoder.context <= positions.rows <= SIZES["context"]:
        yield f"positions.rows is {positions.rows}, expected at least {decoder.context}"


EMBEDDING, POSITIONS, HEAD, LAST_NORM = "embedding", "positions", "head", "norm"


def layer_name(index: int) -> str:
    """Return what the names of a layer's weights begin with."""
    return f"layers.{index}"


def weight_shapes(decoder: Decoder) -> dict[str, tuple[int, ...]]:
    """Return all weights by name, in the order of the forward pass: [N, K], norms and biases [N].

    `kv` has the rows of all key heads, then those of all value heads; `gate_up` the gates' rows
    first. A tied decoder has no `head`.
    """
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (decoder.vocabulary, decoder.width)}
    if isinstance(decoder.positions, Learned):
        shapes[POSITIONS] = (decoder.positions.rows, decoder.width)
    for index in range(decoder.layers):
        name = layer_name(index)
        shapes |= {f"{name}.{part}": shape for part, shape in _layer_shapes(decoder).items()}
    shapes |= _norm_shapes(decoder, LAST_NORM)
    if not decoder.tied:
        shapes[HEAD] = (decoder.vocabulary, decoder.width)
    if decoder.head_bias:
        shapes[f"{HEAD}.bias"] = (decoder.vocabulary,)
    return shapes


def parameter_count(decoder: Decoder) -> int:
    """Return how many numbers the model has learned; what is shared counts once."""
    return sum(math.prod(shape) for shape in weight_shapes(decoder).values())


def in_billions(parameters: int) -> str:
    """Return a count of parameters as models are called by it: 1.6B, 135.2M."""
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f}B"
    return f"{parameters / 1e6:.1f}M"


def _norm_shapes(decoder: Decoder, name: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": (decoder.width,)}
    return shapes | ({f"{name}.bias": (decoder.width,)} if decoder.norm.bias else {})


def _layer_shapes(decoder: Decoder) -> dict[str, tuple[int, ...]]:
    attention, mlp, width = decoder.attention, decoder.mlp, decoder.width
    inside = attention.heads * attention.head_size

    def product(name: str, rows: int, cols: int, bias: bool) -> dict[str, tuple[int, ...]]:
        return {name: (rows, cols), **({f"{name}.bias": (rows,)} if bias else {})}

    shapes = _norm_shapes(decoder, "norm1")
    shapes |= product("attention.q", inside, width, attention.bias_qkv)
    kv_rows = 2 * attention.kv_heads * attention.head_size
    shapes |= product("attention.kv", kv_rows, width, attention.bias_qkv)
    if attention.head_norm:
        shapes |= {f"attention.{part}_norm": (attention.head_size,) for part in "qk"}
    shapes |= product("attention.out", width, inside, attention.bias_out)
    if not decoder.one_norm:
        shapes |= _norm_shapes(decoder, "norm2")
    first = ("mlp.gate_up", 2 * mlp.hidden) if mlp.gated else ("mlp.up", mlp.hidden)
    shapes |= product(*first, width, mlp.bias)
    return shapes | product("mlp.down", width, mlp.hidden, mlp.bias)
