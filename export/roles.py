"""The weights of a decoder by what they do, in the order of the data file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..quant.rotation import rotation_size
from ..runtime.bundle.decoder import EMBEDDING, HEAD, LAST_NORM, POSITIONS, Decoder, weight_shapes
from ..runtime.bundle.places import NORM_MATRIX, ROTATION

Role = Literal[
    "embedding", "shared", "positions", "matrix", "kv", "head", "norm", "bias", "rotation"
]

_OUTSIDE: dict[str, Role] = {EMBEDDING: "embedding", POSITIONS: "positions", HEAD: "head"}
_WRITERS = {"attention": "attention.out", "mlp": "mlp.down"}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class WeightSpec:
    """A weight as graphs use it.

    Args:
        name: see `runtime/bundle/decoder.py`.
        shape: [N, K], or [N] of a norm or a bias.
        role: "kv" makes keys and values, "head" logits or what a shared head reads; "matrix" is
            any other product. "shared" is an embedding that is the head, too.
        layer: None for what stands before the first layer or after the last.
        writer: the matrix of the same block that writes into the stream; of a bias, its own
            matrix if that does.
        norm: what the names of the norm begin with behind which it, or a bias' matrix, reads the
            stream.

    """

    name: str
    shape: tuple[int, ...]
    role: Role
    layer: int | None = None
    writer: str | None = None
    norm: str | None = None

    @property
    def multiplies(self) -> bool:
        """Whether activations are multiplied with it, in a form that the scheme chooses."""
        return self.role in ("matrix", "kv", "head")

    @property
    def writes_bias(self) -> bool:
        """Whether it is a bias that is added to the stream."""
        return self.role == "bias" and self.writer is not None

    @property
    def rounds(self) -> bool:
        """Whether a scheme chooses its form; all others are floats as activations are."""
        return self.multiplies or self.role in ("embedding", "shared")


def weight_specs(decoder: Decoder) -> list[WeightSpec]:
    """List the weights of a decoder, in the order of the forward pass."""
    return [_spec(decoder, name, shape) for name, shape in weight_shapes(decoder).items()]


def rotation_spec(decoder: Decoder) -> WeightSpec:
    """Return the matrix that a rotated variant has beside its weights."""
    size = rotation_size(decoder.mlp.hidden)
    return WeightSpec(ROTATION, (size, size), "rotation")


def norm_matrix_spec(decoder: Decoder) -> WeightSpec:
    """Return the matrix through which a shared head reads a rotated stream."""
    return WeightSpec(NORM_MATRIX, (decoder.width, decoder.width), "head", norm=LAST_NORM)


def by_stage(specs: list[WeightSpec]) -> list[list[WeightSpec]]:
    """Return the specs of the embedding, of each layer, and of the head, in this order."""
    layers = sorted({spec.layer for spec in specs if spec.layer is not None})
    outside = [spec for spec in specs if spec.layer is None]
    return [
        [spec for spec in outside if spec.role in ("embedding", "positions")],
        *([spec for spec in specs if spec.layer == layer] for layer in layers),
        [spec for spec in outside if spec.role not in ("embedding", "positions")],
    ]


def _spec(decoder: Decoder, name: str, shape: tuple[int, ...]) -> WeightSpec:
    matrix = name.removesuffix(".bias")
    match = _LAYER.fullmatch(matrix)
    if match is None:
        role = _OUTSIDE.get(name) or _vector(name)
        return WeightSpec(name, shape, role, norm=LAST_NORM if matrix == HEAD else None)
    layer, part = int(match[1]), match[2]
    block = part.partition(".")[0]
    if "norm" in part:
        return WeightSpec(name, shape, "norm", layer)
    before = matrix.removesuffix(part)
    norms = {"attention": "norm1", "mlp": "norm1" if decoder.one_norm else "norm2"}
    writes = part == _WRITERS[block]
    norm = None if writes else before + norms[block]
    if matrix != name:
        return WeightSpec(name, shape, "bias", layer, matrix if writes else None, norm)
    role = "kv" if part == "attention.kv" else "matrix"
    return WeightSpec(name, shape, role, layer, before + _WRITERS[block], norm)


def _vector(name: str) -> Role:
    return "norm" if "norm" in name else "bias"
