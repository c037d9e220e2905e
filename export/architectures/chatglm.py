"""ChatGLM2, as CodeGeeX2 and OctoGeeX are: RMSNorm, SwiGLU, half of each head rotated in pairs.

Source: the forward pass as candle computes it, and the config.json of ChatGLM2-6B; transformers has
no class of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Attention, Decoder, Mlp, Norm, Rotary
from .. import families
from ..fields import Fields
from ..sources import Paired
from ..tables import fused_qkv, matrix, whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.OCTOGEEX, families.PLAIN)
IGNORED = ("rotary_pos_emb.inv_freq",)
ZERO: tuple[str, ...] = ()

SIZES = {
    "layers": "num_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "head_size": "kv_channels",
    "kv_heads": "multi_query_group_num",
    "hidden": "ffn_hidden_size",
    "vocabulary": "padded_vocab_size",
    "context": "seq_length",
}
_MUST_BE = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "add_bias_linear": False,
    "apply_residual_connection_post_layernorm": False,
    "original_rope": True,
    "multi_query_attention": True,  # without, the published code lays heads out otherwise
}
_BASE = 10000.0
_LAYER = "transformer.encoder.layers.{}."
_QKV = fused_qkv(f"{_LAYER}self_attention.query_key_value")

TENSORS: Table = {
    "embedding": "transformer.embedding.word_embeddings.weight",
    "layers.{}.norm1.weight": f"{_LAYER}input_layernorm.weight",
    **{role: Paired(source) for role, source in _QKV.items()},
    **matrix("layers.{}.attention.out", f"{_LAYER}self_attention.dense"),
    "layers.{}.norm2.weight": f"{_LAYER}post_attention_layernorm.weight",
    **matrix("layers.{}.mlp.gate_up", f"{_LAYER}mlp.dense_h_to_4h"),
    **matrix("layers.{}.mlp.down", f"{_LAYER}mlp.dense_4h_to_h"),
    "norm.weight": "transformer.encoder.final_layernorm.weight",
    "head": "transformer.output_layer.weight",
}
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; `apply_query_key_layer_scaling` divides and multiplies by one number."""
    fields = Fields(config, problems)
    fields.sizes(SIZES)
    fields.epsilon("layernorm_epsilon")
    for field, value in _MUST_BE.items():
        fields.equal(field, value)
    biased = fields.flag("add_qkv_bias")
    tied = fields.tied(False)
    ratio = config.get("rope_ratio", 1)
    fields.expect("rope_ratio", type(ratio) in (int, float) and ratio > 0, "a number above 0")
    if not fields.right:
        return None
    heads, size = config["num_attention_heads"], config["kv_channels"]
    kv_heads = config["multi_query_group_num"]
    return Decoder(
        layers=config["num_layers"],
        width=config["hidden_size"],
        vocabulary=config["padded_vocab_size"],
        context=config["seq_length"],
        tied=tied,
        norm=Norm("rms", config["layernorm_epsilon"]),
        positions=Rotary(_BASE * ratio, size // 2),
        attention=Attention(heads, kv_heads, size, size**-0.5, bias_qkv=biased),
        mlp=Mlp(config["ffn_hidden_size"], "silu", gated=True),
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return our torch module with the checkpoint's weights."""
    from ..reference.chatglm import load

    return load(checkpoint)
