"""GPT-NeoX, as StableCode is one: parallel layers, rotary positions of a share of each head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Attention, Decoder, Mlp, Norm
from .. import families
from ..fields import PLAIN_ACTIVATIONS, Fields
from ..llama_like import SIZES, check_features
from ..positions import rotary_fields
from ..sources import Heads
from ..tables import matrix, norm
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.STABLECODE_INSTRUCT, families.STARCODER, families.PLAIN)
# Buffers in files of early versions.
IGNORED = ("rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")
ZERO: tuple[str, ...] = ()

_LAYER = "gpt_neox.layers.{}."
_QKV = f"{_LAYER}attention.query_key_value"

TENSORS: Table = {
    "embedding": "gpt_neox.embed_in.weight",
    **norm("layers.{}.norm1", f"{_LAYER}input_layernorm"),
    "layers.{}.attention.q": Heads(f"{_QKV}.weight", (0,)),
    "layers.{}.attention.q.bias": Heads(f"{_QKV}.bias", (0,)),
    "layers.{}.attention.kv": Heads(f"{_QKV}.weight", (1, 2)),
    "layers.{}.attention.kv.bias": Heads(f"{_QKV}.bias", (1, 2)),
    **matrix("layers.{}.attention.out", f"{_LAYER}attention.dense"),
    **norm("layers.{}.norm2", f"{_LAYER}post_attention_layernorm"),
    **matrix("layers.{}.mlp.up", f"{_LAYER}mlp.dense_h_to_4h"),
    **matrix("layers.{}.mlp.down", f"{_LAYER}mlp.dense_4h_to_h"),
    **norm("norm", "gpt_neox.final_layer_norm"),
    "head": "embed_out.weight",
}


def tensors(names: set[str]) -> Table:
    """Return the table, with the head as transformers 5 names it where the names do."""
    return {**TENSORS, "head": "lm_head.weight"} if "lm_head.weight" in names else TENSORS


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json."""
    fields = Fields(config, problems)
    fields.sizes(SIZES)
    fields.epsilon("layer_norm_eps")
    activation = fields.activation("hidden_act", PLAIN_ACTIVATIONS)
    tied = fields.tied(False)
    parallel = fields.flag("use_parallel_residual", True)
    biased = fields.flag("attention_bias", True)
    check_features(fields)
    positions = rotary_fields(fields, base="rotary_emb_base", share="rotary_pct", partial=True)
    if not fields.right or positions is None or activation is None:
        return None
    if not fields.divides("num_attention_heads", "hidden_size"):
        return None
    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    return Decoder(
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=tied,
        norm=Norm("layer", config["layer_norm_eps"], bias=True),
        positions=positions.of_heads(size),
        attention=Attention(heads, heads, size, size**-0.5, bias_qkv=biased, bias_out=biased),
        mlp=Mlp(config["intermediate_size"], activation, gated=False, bias=True),
        residual="parallel" if parallel else "sequential",
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "gpt_neox")
