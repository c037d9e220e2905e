"""GPTBigCode: StarCoder, StarChat and OctoCoder; learned positions, one key and value head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Attention, Decoder, Learned, Mlp, Norm
from .. import families
from ..fields import PLAIN_ACTIVATIONS, Fields
from ..tables import fused_qkv, matrix, norm, whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.STARCHAT, families.OCTOCODER, families.STARCODER, families.PLAIN)
IGNORED = (".attn.bias", ".attn.masked_bias")  # buffers in files of early versions
ZERO: tuple[str, ...] = ()

SIZES = {
    "layers": "n_layer",
    "width": "n_embd",
    "heads": "n_head",
    "vocabulary": "vocab_size",
    "context": "n_positions",
}
_LAYER = "transformer.h.{}."

TENSORS: Table = {
    "embedding": "transformer.wte.weight",
    "positions": "transformer.wpe.weight",
    **norm("layers.{}.norm1", f"{_LAYER}ln_1"),
    **fused_qkv(f"{_LAYER}attn.c_attn"),
    **matrix("layers.{}.attention.out", f"{_LAYER}attn.c_proj"),
    **norm("layers.{}.norm2", f"{_LAYER}ln_2"),
    **matrix("layers.{}.mlp.up", f"{_LAYER}mlp.c_fc"),
    **matrix("layers.{}.mlp.down", f"{_LAYER}mlp.c_proj"),
    **norm("norm", "transformer.ln_f"),
    "head": "lm_head.weight",
}
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; without `n_inner` the MLP is four times as wide as the stream.

    Early code divided scores by the layer's number, and multiplied with it again: that cancels.
    """
    fields = Fields(config, problems)
    fields.sizes(SIZES)
    fields.optional_size("hidden", "n_inner")
    fields.epsilon("layer_norm_epsilon")
    activation = fields.activation("activation_function", PLAIN_ACTIVATIONS)
    fields.expect("multi_query", config.get("multi_query") is True, "true: one key/value head")
    fields.expect("scale_attn_weights", fields.flag("scale_attn_weights", True), "true or absent")
    tied = fields.tied(True)
    if not fields.right or activation is None or not fields.divides("n_head", "n_embd"):
        return None
    width, heads = config["n_embd"], config["n_head"]
    size = width // heads
    return Decoder(
        layers=config["n_layer"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["n_positions"],
        tied=tied,
        norm=Norm("layer", config["layer_norm_epsilon"], bias=True),
        positions=Learned(config["n_positions"]),
        attention=Attention(heads, 1, size, size**-0.5, bias_qkv=True, bias_out=True),
        mlp=Mlp(config.get("n_inner") or 4 * width, activation, gated=False, bias=True),
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "gpt_bigcode")
