"""What other loaders call a model, and what their config.json says of it.

Sources: transformers 4.57's configuration classes, the types that onnxruntime-genai 0.18 lists, and
those of transformers.js 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..runtime.bundle.decoder import Decoder, Rotary

_ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}
_GENERIC = "decoder"  # of onnxruntime-genai; the two others have no such type


@dataclass(frozen=True)
class Label:
    """transformers' type and class of a decoder, onnxruntime-genai's type, and facts it tells."""

    model_type: str
    architecture: str
    genai: str
    facts: Callable[[Decoder], dict[str, Any]] = lambda decoder: {}


def _rotary(decoder: Decoder) -> Rotary:
    assert isinstance(decoder.positions, Rotary), "the type has others"
    return decoder.positions


def _scaling(decoder: Decoder) -> dict[str, Any] | None:
    factor = _rotary(decoder).factor
    return {"rope_type": "linear", "factor": factor} if factor != 1 else None


def _activation(decoder: Decoder) -> str:
    return _ACTIVATIONS[decoder.mlp.activation]


def _llama(decoder: Decoder) -> dict[str, Any]:
    """Return rotary positions in the old form and the new one, and the rest."""
    attention, positions, scaling = decoder.attention, _rotary(decoder), _scaling(decoder)
    return {
        "hidden_act": _activation(decoder),
        "rms_norm_eps": decoder.norm.epsilon,
        "attention_bias": attention.bias_qkv,
        "mlp_bias": decoder.mlp.bias,
        "rope_theta": positions.base,
        "rope_scaling": scaling,
        "rope_parameters": {
            **(scaling or {"rope_type": "default"}),
            "rope_theta": positions.base,
        },
    }


def _gemma(decoder: Decoder) -> dict[str, Any]:
    return {**_llama(decoder), "hidden_activation": _activation(decoder)}


def _mistral(decoder: Decoder) -> dict[str, Any]:
    return {**_llama(decoder), "sliding_window": decoder.attention.window or None}


def _stablelm(decoder: Decoder) -> dict[str, Any]:
    positions = _rotary(decoder)
    return {
        "hidden_act": _activation(decoder),
        "layer_norm_eps": decoder.norm.epsilon,
        "use_qkv_bias": decoder.attention.bias_qkv,
        "use_parallel_residual": decoder.residual == "parallel",
        "rope_theta": positions.base,
        "rope_scaling": _scaling(decoder),
        "partial_rotary_factor": positions.dims / decoder.attention.head_size,
    }


def _gpt_neox(decoder: Decoder) -> dict[str, Any]:
    positions = _rotary(decoder)
    return {
        "hidden_act": _activation(decoder),
        "layer_norm_eps": decoder.norm.epsilon,
        "attention_bias": decoder.attention.bias_qkv,
        "use_parallel_residual": decoder.residual == "parallel",
        "rotary_emb_base": positions.base,
        "rope_scaling": _scaling(decoder),
        "rotary_pct": positions.dims / decoder.attention.head_size,
    }


def _mpt(decoder: Decoder) -> dict[str, Any]:
    return {
        "d_model": decoder.width,
        "n_heads": decoder.attention.heads,
        "n_layers": decoder.layers,
        "max_seq_len": decoder.context,
        "expansion_ratio": decoder.mlp.hidden // decoder.width,
        "no_bias": True,
        "layer_norm_epsilon": decoder.norm.epsilon,
        "attn_config": {"alibi": True, "attn_type": "multihead_attention"},
    }


# Types that optimum and transformers.js know, and that have the caches of our graphs. Left out are
# gpt_bigcode, whose caches transformers.js calls by other names; starcoder2, of which optimum
# believes that every query head has a key head; chatglm, which only onnxruntime-genai knows.
_LABELS: Mapping[str, Label] = {
    "llama": Label("llama", "LlamaForCausalLM", "llama", _llama),
    "decicoder": Label("llama", "LlamaForCausalLM", "llama", _llama),  # one but for its name
    "qwen2": Label("qwen2", "Qwen2ForCausalLM", "qwen2", _llama),
    "qwen3": Label("qwen3", "Qwen3ForCausalLM", "qwen3", _llama),
    "mistral": Label("mistral", "MistralForCausalLM", "mistral", _mistral),
    "gemma": Label("gemma", "GemmaForCausalLM", "gemma", _gemma),
    "stablelm": Label("stablelm", "StableLmForCausalLM", _GENERIC, _stablelm),
    "gpt_neox": Label("gpt_neox", "GPTNeoXForCausalLM", _GENERIC, _gpt_neox),
    "mpt": Label("mpt", "MptForCausalLM", _GENERIC, _mpt),
    "replit_lm": Label("mpt", "MptForCausalLM", _GENERIC, _mpt),  # one but for its names
}
# A decoder whose cache has the same shape.
STAND_IN = Label("llama", "LlamaForCausalLM", _GENERIC)


def label_of(model_type: str) -> Label:
    """Return what other loaders call a model of this type."""
    return _LABELS.get(model_type, STAND_IN)
