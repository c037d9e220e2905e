"""MPT, as ReplitCode v1 is one in its second layout: ALiBi, no biases, embedding and head tied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Alibi, Attention, Decoder, Mlp, Norm
from .. import families
from ..fields import Fields
from ..refact_shapes import alibi_slopes
from ..tables import fused_qkv, whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.REPLIT, families.PLAIN)
IGNORED: tuple[str, ...] = ()
ZERO: tuple[str, ...] = ()

SIZES = {
    "layers": "n_layers",
    "width": "d_model",
    "heads": "n_heads",
    "vocabulary": "vocab_size",
    "context": "max_seq_len",
}
_EPSILON = 1e-5  # the published code's; few configs have a field for it
_LAYER = "transformer.blocks.{}."

TENSORS: Table = {
    "embedding": "transformer.wte.weight",
    "layers.{}.norm1.weight": f"{_LAYER}norm_1.weight",
    **fused_qkv(f"{_LAYER}attn.Wqkv"),
    "layers.{}.attention.out": f"{_LAYER}attn.out_proj.weight",
    "layers.{}.norm2.weight": f"{_LAYER}norm_2.weight",
    "layers.{}.mlp.up": f"{_LAYER}ffn.up_proj.weight",
    "layers.{}.mlp.down": f"{_LAYER}ffn.down_proj.weight",
    "norm.weight": "transformer.norm_f.weight",
    "head": "lm_head.weight",
}
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json, in which attention has an object of its own."""
    attention = config.get("attn_config")
    if not isinstance(attention, Mapping):
        Fields(config, problems).expect("attn_config", False, "an object")
        return None
    fields, nested = Fields(config, problems), Fields(attention, problems)
    nested.expect("attn_type", attention.get("attn_type") == _ATTENTION, repr(_ATTENTION))
    ratio = config.get("expansion_ratio")
    fields.expect("expansion_ratio", ratio == 4, "4")
    return decoder_of(fields, nested, "clip_qkv", "qk_ln")


_ATTENTION = "multihead_attention"


def decoder_of(fields: Fields, attention: Fields, clip: str, qk_norm: str) -> Decoder | None:
    """Read what both layouts have; `clip` and `qk_norm` are names of fields that differ."""
    config = fields.config
    fields.sizes(SIZES)
    for off in (clip, qk_norm, "softmax_scale", "prefix_lm", "attn_uses_sequence_id"):
        attention.expect(off, not attention.config.get(off), "absent, null or false")
    attention.expect("alibi", attention.config.get("alibi") is True, "true")
    attention.expect("alibi_bias_max", attention.config.get("alibi_bias_max", 8) == 8, "8")
    fields.expect("no_bias", config.get("no_bias", True) is True, "true")
    fields.expect("logit_scale", config.get("logit_scale") is None, "null")
    fields.expect("embedding_fraction", config.get("embedding_fraction", 1) == 1, "1")
    norm = config.get("norm_type", "low_precision_layernorm")
    names = ("low_precision_layernorm", "layernorm")
    fields.expect("norm_type", norm in names, " or ".join(map(repr, names)))
    if "layer_norm_epsilon" in config:
        fields.epsilon("layer_norm_epsilon")
    tied = fields.tied(True)
    if not (fields.right and attention.right and fields.divides("n_heads", "d_model")):
        return None
    width, heads = config["d_model"], config["n_heads"]
    size = width // heads
    return Decoder(
        layers=config["n_layers"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["max_seq_len"],
        tied=tied,
        norm=Norm("layer", config.get("layer_norm_epsilon", _EPSILON)),
        positions=Alibi(alibi_slopes(heads)),
        attention=Attention(heads, heads, size, size**-0.5),
        mlp=Mlp(4 * width, "gelu", gated=False),
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "mpt")
