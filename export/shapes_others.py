"""Models that are no Llama by their shape: StarCoder's, StableCode's, Replit's, and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .shape import STANDARD_DEVIATION, Shape, numbered
from .starcoder import SPECIAL_TOKENS

_STAR = numbered(SPECIAL_TOKENS)


def _config(
    architecture: str, model_type: str, end: int, fields: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": model_type,
        **fields,
        "eos_token_id": end,
        "initializer_range": STANDARD_DEVIATION,
        "torch_dtype": "bfloat16",
    }


def _starcoder(layers: int, width: int, heads: int) -> Shape:
    fields = {
        "vocab_size": 49152,
        "n_layer": layers,
        "n_embd": width,
        "n_head": heads,
        "n_inner": 4 * width,
        "n_positions": 8192,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_pytorch_tanh",
        "multi_query": True,
        "scale_attn_weights": True,
    }
    return Shape(_config("GPTBigCodeForCausalLM", "gpt_bigcode", 0, fields), 49152, _STAR)


def _starcoder2(layers: int, width: int, heads: int, groups: int, base: float) -> Shape:
    fields = {
        "vocab_size": 49152,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 16384,
        "sliding_window": 4096,
        "norm_epsilon": 1e-5,
        "rope_theta": base,
        "hidden_act": "gelu_pytorch_tanh",
        "use_bias": True,
    }
    specials = {**_STAR, **numbered(("<repo_name>", "<file_sep>"), 19)}
    return Shape(_config("Starcoder2ForCausalLM", "starcoder2", 0, fields), 49152, specials)


def _stablecode() -> Shape:
    fields = {
        "vocab_size": 49152,
        "num_hidden_layers": 32,
        "hidden_size": 2560,
        "num_attention_heads": 32,
        "intermediate_size": 10240,
        "max_position_embeddings": 4096,
        "layer_norm_eps": 1e-5,
        "rotary_pct": 0.25,
        "rotary_emb_base": 10000,
        "use_parallel_residual": True,
        "hidden_act": "gelu",
        "tie_word_embeddings": False,
    }
    return Shape(_config("GPTNeoXForCausalLM", "gpt_neox", 0, fields), 49152, _STAR)


def _stable_code() -> Shape:
    fields = {
        "vocab_size": 50304,
        "num_hidden_layers": 32,
        "hidden_size": 2560,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "intermediate_size": 6912,
        "max_position_embeddings": 16384,
        "layer_norm_eps": 1e-5,
        "partial_rotary_factor": 0.25,
        "rope_theta": 1e6,
        "use_qkv_bias": False,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }
    holes = ("<fim_prefix>", "<fim_middle>", "<fim_suffix>")
    specials = {"<|endoftext|>": 0, **numbered(holes, 50279)}
    return Shape(_config("StableLmForCausalLM", "stablelm", 0, fields), 50282, specials)


def _replit() -> Shape:
    fields = {
        "vocab_size": 32768,
        "n_layers": 32,
        "d_model": 2560,
        "n_heads": 32,
        "max_seq_len": 2048,
        "expansion_ratio": 4,
        "no_bias": True,
        "norm_type": "low_precision_layernorm",
        "logit_scale": None,
        "attn_config": {"alibi": True, "attn_type": "multihead_attention"},
    }
    return Shape(_config("MPTForCausalLM", "mpt", 1, fields), 32768, {"<|endoftext|>": 1})


def _codegemma() -> Shape:
    fields = {
        "vocab_size": 256000,
        "num_hidden_layers": 18,
        "hidden_size": 2048,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "intermediate_size": 16384,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
    }
    tokens = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_separator|>")
    turns = numbered(("<start_of_turn>", "<end_of_turn>"), 106)
    specials = {"<eos>": 1, "<bos>": 2, **numbered(tokens, 67), **turns}
    return Shape(_config("GemmaForCausalLM", "gemma", 1, fields), 256000, specials)


def _octogeex() -> Shape:
    fields = {
        "padded_vocab_size": 65024,
        "num_layers": 28,
        "hidden_size": 4096,
        "ffn_hidden_size": 13696,
        "kv_channels": 128,
        "num_attention_heads": 32,
        "multi_query_attention": True,
        "multi_query_group_num": 2,
        "seq_length": 8192,
        "layernorm_epsilon": 1e-5,
        "rmsnorm": True,
        "post_layer_norm": True,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_residual_connection_post_layernorm": False,
        "original_rope": True,
        "tie_word_embeddings": False,
    }
    behind = numbered(("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"), 64789)
    config = _config("ChatGLMModel", "chatglm", 2, fields)
    return Shape(config, 64794, {"<s>": 1, "</s>": 2, **behind})


SHAPES: Mapping[str, Shape] = {
    "starcoderbase-1b": _starcoder(24, 2048, 16),
    "starcoderbase-3b": _starcoder(36, 2816, 22),
    "starcoderbase-7b": _starcoder(42, 4096, 32),
    "starcoder-15b": _starcoder(40, 6144, 48),
    "starcoder2-3b": _starcoder2(30, 3072, 24, 2, 999999.44),
    "starcoder2-7b": _starcoder2(32, 4608, 36, 4, 1e6),
    "stablecode-3b": _stablecode(),
    "stable-code-3b": _stable_code(),
    "replit-code-3b": _replit(),
    "codegemma-2b": _codegemma(),
    "octogeex-6b": _octogeex(),
}
