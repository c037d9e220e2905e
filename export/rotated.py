"""The weights of a model whose activations are rotated before rounding; see quant/rotation.py.

The stream is rotated as a whole, values within each head, and what the MLP's last product reads
block by block, which is a step in the graph. Queries and keys are left alone: positions may rotate
them. Norms lie between the stream and its readers and weigh channels one by one, so their weights
move into the readers first, and their biases into the readers' biases. A head that shares the
embedding's weights cannot have the last norm's in it: it has a copy of its own, or reads what the
norm makes through a matrix of those weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..quant.rotation import rotate_columns_in_place, rotate_rows_in_place, rotation, rotation_size
from ..runtime.bundle.decoder import Decoder
from ..runtime.bundle.places import NORM_MATRIX
from .centre import centred
from .checkpoint import Floating
from .roles import WeightSpec


def rotated_decoder(decoder: Decoder) -> Decoder:
    """Return the facts of the rotated model: norms without bias, readers with, nothing tied."""
    bias = decoder.norm.bias
    attention, mlp = decoder.attention, decoder.mlp
    return replace(
        decoder,
        tied=False,
        norm=replace(decoder.norm, bias=False),
        attention=replace(attention, bias_qkv=attention.bias_qkv or bias),
        mlp=replace(mlp, bias=mlp.bias or bias),
        head_bias=decoder.head_bias or bias,
    )


def may_share(decoder: Decoder) -> bool:
    """Whether embedding and head, once rotated, may still be one table.

    LayerNorm's mean goes out of what writes into the stream, which the embedding does and the head
    does not, so that the two differ then.
    """
    return decoder.tied and decoder.norm.kind == "rms" and not decoder.norm.bias


def rotated(
    decoder: Decoder, specs: Sequence[WeightSpec], weights: dict[str, Floating]
) -> dict[str, Floating]:
    """Return the weights [N, K] of a stage, as they are in the rotated model.

    Args:
        decoder: the model as it is.
        specs: the stage of the rotated model.
        weights: the stage of the model as it is, with a head of its own. Matrices are taken out of
            it, so that no more than one is held twice: that of the head is large.

    """
    biases = {spec.name: _bias(decoder, spec, weights) for spec in specs if spec.role == "bias"}
    return {
        spec.name: biases[spec.name] if spec.role == "bias" else _rotated(decoder, spec, weights)
        for spec in specs
    }


def _rotated(decoder: Decoder, spec: WeightSpec, weights: dict[str, Floating]) -> Floating:
    if spec.role == "norm":
        own_head = spec.name.endswith(("q_norm", "k_norm"))
        return weights[spec.name] if own_head else np.ones_like(weights[spec.name])
    # The stream's own rotation, where there is no matrix yet: with the norm's weights it is one.
    own = rotation(decoder.width) if spec.name == NORM_MATRIX else weights.pop(spec.name)
    weight = own if own.flags.writeable else own.copy()
    if decoder.norm.kind == "layer":
        weight = centred(spec, weight)
    if spec.norm is not None:
        weight *= weights[f"{spec.norm}.weight"]
    rotate_columns_in_place(weight, _read_size(decoder, spec))
    _rotate_written(decoder, spec, weight)
    return weight


def _bias(decoder: Decoder, spec: WeightSpec, weights: Mapping[str, Floating]) -> Floating:
    """Return a bias [1, N], with what the norm's own bias makes in the product."""
    bias = weights.get(spec.name, np.zeros((1, *spec.shape), np.float32))
    if decoder.norm.kind == "layer":
        bias = centred(spec, bias)
    if spec.norm is not None and decoder.norm.bias:
        matrix = weights[spec.name.removesuffix(".bias")]
        bias = bias + weights[f"{spec.norm}.bias"] @ matrix.T
    column = bias.T.copy()
    _rotate_written(decoder, spec, column)
    return column.T


def _read_size(decoder: Decoder, spec: WeightSpec) -> int:
    """Return the size of the blocks in which what a matrix reads, or a table holds, is rotated."""
    if spec.norm is not None or spec.role in ("embedding", "positions"):
        return decoder.width
    if spec.name.endswith("attention.out"):
        return decoder.attention.head_size
    return rotation_size(decoder.mlp.hidden)


def _rotate_written(decoder: Decoder, spec: WeightSpec, weight: Floating) -> None:
    """Rotate what a matrix, or a bias [N, 1], makes, in its own memory."""
    if spec.writes_bias or spec.writer == spec.name:
        rotate_rows_in_place(weight, decoder.width)
    elif spec.name.endswith(("attention.kv", "attention.kv.bias")):
        size = decoder.attention.head_size
        rotate_rows_in_place(weight, size, decoder.attention.kv_heads * size)
