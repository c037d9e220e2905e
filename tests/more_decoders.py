"""More families as facts, for blocks that those of decoders.py have not; see there.

Biases of queries, keys and values alone, norms of single heads, heads wider than the stream, one
norm before both parts of a layer, a bias of logits, and scales of embeddings, scores and logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from decoders import (
    CONTEXT,
    FAMILIES,
    HEADS,
    LAYERS,
    PREFIX,
    VOCABULARY,
    WIDTH,
    Family,
    facts_of,
    llama_facts,
    with_bias,
)

from refact_edge.export.architectures import qwen2, qwen3, register
from refact_edge.export.llama_like import TENSORS as LLAMA
from refact_edge.export.sources import Stacked
from refact_edge.export.tensors import Table
from refact_edge.runtime.bundle.decoder import Attention, Decoder, Mlp, Norm, Rotary

MORE = ("qwen2", "qwen3", "phi", "granite")


def _granite(config: Mapping[str, Any]) -> Decoder:
    plain = llama_facts(config)
    return replace(
        plain,
        attention=replace(plain.attention, scale=config["attention_multiplier"]),
        embedding_scale=config["embedding_multiplier"],
        logit_scale=1 / config["logits_scaling"],
    )


def _phi(config: Mapping[str, Any]) -> Decoder:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    size = width // heads
    groups = config["num_key_value_heads"]
    return Decoder(
        layers=config["num_hidden_layers"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=False,
        norm=Norm("layer", config["layer_norm_eps"], bias=True),
        positions=Rotary(config["rope_theta"], int(size * config["partial_rotary_factor"])),
        attention=Attention(heads, groups, size, size**-0.5, bias_qkv=True, bias_out=True),
        mlp=Mlp(config["intermediate_size"], "gelu_tanh", gated=False, bias=True),
        residual="parallel",
        one_norm=True,
        head_bias=True,
    )


_L = "model.layers.{}."
_KEYS, _VALUES = f"{_L}self_attn.k_proj", f"{_L}self_attn.v_proj"
_PHI: Table = {
    "embedding": "model.embed_tokens.weight",
    **with_bias("layers.{}.norm1", f"{_L}input_layernorm"),
    **with_bias("layers.{}.attention.q", f"{_L}self_attn.q_proj"),
    "layers.{}.attention.kv": Stacked((f"{_KEYS}.weight", f"{_VALUES}.weight")),
    "layers.{}.attention.kv.bias": Stacked((f"{_KEYS}.bias", f"{_VALUES}.bias")),
    **with_bias("layers.{}.attention.out", f"{_L}self_attn.dense"),
    **with_bias("layers.{}.mlp.up", f"{_L}mlp.fc1"),
    **with_bias("layers.{}.mlp.down", f"{_L}mlp.fc2"),
    **with_bias("norm", "model.final_layernorm"),
    **with_bias("head", "lm_head"),
}

_ROTARY = {
    "num_attention_heads": HEADS,
    "num_key_value_heads": 3,
    "num_hidden_layers": LAYERS,
    "hidden_size": WIDTH,
    "intermediate_size": 224,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "rope_theta": 10000.0,
}
_RMS = {
    **_ROTARY,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}

FAMILIES |= {
    "qwen2": Family(
        facts_of(qwen2), LLAMA, {**_RMS, "rope_theta": 1e6, "tie_word_embeddings": True}
    ),
    "qwen3": Family(facts_of(qwen3), qwen3.TENSORS, {**_RMS, "head_dim": 32}),
    "granite": Family(
        _granite,
        LLAMA,
        {
            **_RMS,
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.2,
            "logits_scaling": 4.0,
            "residual_multiplier": 1.0,
        },
    ),
    "phi": Family(
        _phi,
        _PHI,
        {
            **_ROTARY,
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
            "partial_rotary_factor": 0.5,
            "tie_word_embeddings": False,
        },
    ),
}
for _name in MORE:
    register(f"{PREFIX}{_name}", FAMILIES[_name])
