"""Tiny random checkpoints of each architecture that export reads, as transformers writes them.

The next Llama-like model is one more row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from chatglm import chatglm_model
from safetensors.torch import save_file
from tokenizers_made import KINDS, Pieces, byte_level_json

from refact_edge.export import families
from refact_edge.export.architectures.replit_lm import first_name
from refact_edge.export.prompts import PromptFamily
from refact_edge.runtime.text.pipelines import PIPELINES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LLAMA, METASPACE, GEMMA, UNIGRAM = (Pieces(kind) for kind in KINDS)
STARCODER, GPT2, QWEN2, DEEPSEEK, SEED = (
    next(pipeline for pipeline in PIPELINES if pipeline.words.startswith(words))
    for words in ("Digits", "ByteLevel", "Qwen2", "DeepSeek", "Seed")
)
VOCABULARY, CONTEXT = 448, 256


@dataclass(frozen=True)
class Row:
    """A model: its config.json, what it is asked by, and transformers' class of it."""

    model_type: str
    family: PromptFamily
    config: Mapping[str, Any] = field(default_factory=dict)
    pipeline: Any = STARCODER
    specials: Sequence[str] = ()  # more than the family's
    built_as: str = ""  # where transformers has it under another name
    base: Mapping[str, Any] | None = None  # of configs that are not like Llama's


_BIGCODE = {
    "n_layer": 2,
    "n_embd": 96,
    "n_head": 6,
    "n_positions": CONTEXT,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_pytorch_tanh",
    "multi_query": True,
    "attention_softmax_in_fp32": True,
}
_NEOX = {
    "hidden_size": 160,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "max_position_embeddings": CONTEXT,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "rotary_pct": 0.25,
    "rotary_emb_base": 10000,
    "use_parallel_residual": True,
}
_MPT = {
    "d_model": 96,
    "n_heads": 6,
    "n_layers": 2,
    "max_seq_len": CONTEXT,
    "no_bias": True,
    "norm_type": "low_precision_layernorm",
    "logit_scale": None,
}
_CHATGLM = {
    "num_layers": 2,
    "hidden_size": 96,
    "ffn_hidden_size": 224,
    "kv_channels": 32,
    "num_attention_heads": 6,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "padded_vocab_size": VOCABULARY,
    "seq_length": CONTEXT,
    "layernorm_epsilon": 1e-5,
    "rmsnorm": True,
    "post_layer_norm": True,
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "original_rope": True,
    "tie_word_embeddings": False,
}
_STAR = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<filename>")
_CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_LINEAR = {"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 100000.0}
_BIASES = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}

ROWS: Mapping[str, Row] = {
    "smollm2": Row(
        "llama",
        families.SMOLLM,
        {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True},
        specials=(*_CHATML, "<file_sep>"),
    ),
    "decicoder": Row(
        "decicoder",
        families.STARCODER,
        {"naive_attention_prefill": False, "num_key_value_heads": 3},
        specials=_STAR,
        built_as="llama",
    ),
    "codegen2.5": Row(
        "llama", families.CODEGEN25, {"rope_theta": None}, GPT2, specials=("<fim_prefix>",)
    ),
    "mellum": Row("llama", families.MELLUM, {"num_key_value_heads": 1}, GPT2, specials=_STAR),
    "seed-coder": Row("llama", families.SEED_CODER, {"num_key_value_heads": 3}, SEED),
    "deepseek-coder": Row("llama", families.DEEPSEEK_CODER, _LINEAR, DEEPSEEK),
    "granite-code": Row("llama", families.GRANITE_CODE, _BIASES, specials=_STAR),
    "qwen2.5-coder": Row(
        "qwen2",
        families.QWEN_CODER,
        {"num_key_value_heads": 3, "tie_word_embeddings": True, "use_sliding_window": False,
         "sliding_window": 128, "max_window_layers": 2},
        QWEN2,
        specials=("<tool_call>",),
    ),
    "starcoder": Row("gpt_bigcode", families.STARCODER, base=_BIGCODE, specials=_STAR),
    "starchat": Row("gpt_bigcode", families.STARCHAT, {"n_inner": 224}, base=_BIGCODE),
    "octocoder": Row("gpt_bigcode", families.OCTOCODER, base=_BIGCODE, specials=_STAR),
    "starcoder2": Row(
        "starcoder2",
        families.STARCODER2,
        {"hidden_act": "gelu_pytorch_tanh", "num_key_value_heads": 2, "norm_epsilon": 1e-5,
         "rms_norm_eps": None, "use_bias": True, "sliding_window": 33},
    ),
    "stablecode": Row("gpt_neox", families.STARCODER, base=_NEOX, specials=_STAR),
    "stablecode-instruct": Row(
        "gpt_neox", families.STABLECODE_INSTRUCT, base=_NEOX, specials=_STAR
    ),
    "stable-code": Row(
        "stablelm",
        families.STABLE_CODE,
        {"num_attention_heads": 5, "num_key_value_heads": 5, "hidden_size": 160,
         "layer_norm_eps": 1e-5, "rms_norm_eps": None, "partial_rotary_factor": 0.25,
         "use_qkv_bias": True, "use_parallel_residual": False},
        GPT2,
    ),
    "replit-code": Row(
        "mpt",
        families.REPLIT,
        {"expansion_ratio": 4, "attn_config": {"alibi": True, "attn_type": "multihead_attention"}},
        UNIGRAM,
        base=_MPT,
    ),
    "replit-code-first": Row(
        "replit_lm",
        families.REPLIT,
        {"mlp_ratio": 4, "alibi": True, "attn_qk_ln": False},
        UNIGRAM,
        base=_MPT,
        built_as="mpt",
    ),
    "qwen3": Row(
        "qwen3",
        families.QWEN3,
        {"num_key_value_heads": 3, "head_dim": 32, "attention_bias": False},
        QWEN2,
    ),
    "codegemma": Row(
        "gemma",
        families.CODEGEMMA,
        {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
         "num_key_value_heads": 1, "head_dim": 32},
        GEMMA,
    ),
    "codellama": Row(
        "llama", families.CODELLAMA, {"rope_theta": 1e6, "num_key_value_heads": 6}, LLAMA
    ),
    "codestral": Row(
        "mistral",
        families.CODESTRAL,
        {"num_key_value_heads": 2, "head_dim": 16, "sliding_window": 45},
        METASPACE,
    ),
    "octogeex": Row("chatglm", families.OCTOGEEX, base=_CHATGLM, pipeline=LLAMA),
}  # fmt: skip


def config_json(row: Row) -> dict[str, Any]:
    """Return a row's config.json."""
    heads = row.config.get("num_attention_heads", 6)
    like_llama = {
        "hidden_size": 16 * heads,
        "num_attention_heads": heads,
        "num_hidden_layers": 2,
        "intermediate_size": 224,
        "max_position_embeddings": CONTEXT,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    }
    config = {
        "model_type": row.model_type,
        "vocab_size": VOCABULARY,
        "torch_dtype": "bfloat16",
        **(like_llama if row.base is None else row.base),
        **row.config,
    }
    return {name: value for name, value in config.items() if value is not None}


def tokenizer_json(row: Row) -> dict[str, Any]:
    """Return a small tokenizer with the row's pipeline, and its special tokens at the end."""
    specials = list(dict.fromkeys([*row.specials, *row.family.tokens]))
    if isinstance(row.pipeline, Pieces):
        return row.pipeline.tokenizer_json(specials)
    return byte_level_json(row.pipeline, specials)


def build(row: Row) -> Any:
    """Return transformers' model with weights that are always the same, and not small."""
    from transformers import AutoConfig, AutoModelForCausalLM

    content = config_json(row)
    if row.model_type == "chatglm":
        return chatglm_model(content)
    kind = row.built_as or content["model_type"]
    settings = AutoConfig.for_model(kind, **{k: v for k, v in content.items() if k != "model_type"})
    auto: Any = AutoModelForCausalLM  # transformers leaves its methods untyped
    built: PreTrainedModel = auto.from_config(
        settings, attn_implementation="eager", dtype=torch.float32
    ).eval()
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            values = torch.randn(parameter.shape, generator=random)
            matrix = parameter.ndim == 2
            parameter.copy_(values * (parameter.shape[-1] ** -0.5 if matrix else 0.3))
            if parameter.ndim == 1 and name.endswith("weight"):  # of a norm
                parameter.add_(1)
    return _rounded(built)


def _rounded(built: PreTrainedModel) -> PreTrainedModel:
    """Round weights to what bfloat16 holds, and keep them in fp32."""
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(parameter.bfloat16())
    return built


def save_checkpoint(row: Row, folder: Path, save: Mapping[str, Any]) -> None:
    """Write a row's weights as its makers do."""
    built = build(row)
    if row.model_type == "chatglm":
        save_file(built.tensors(), folder / "model.safetensors")
    elif row.model_type == "replit_lm":
        weights = built.bfloat16().state_dict()
        weights.pop("lm_head.weight")  # the embedding's
        named = {first_name(name): tensor for name, tensor in weights.items()}
        save_file(named, folder / "model.safetensors")
    else:
        built.bfloat16().save_pretrained(folder, **save)


def make_checkpoint(
    row: Row,
    folder: Path,
    edit: Callable[[dict[str, Any]], object] = lambda config: None,
    **save: Any,
) -> Path:
    """Write a row's checkpoint into a new folder; `save` goes to transformers' own writer."""
    folder.mkdir(parents=True)
    save_checkpoint(row, folder, save)
    config = config_json(row)
    edit(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text = json.dumps(tokenizer_json(row), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return folder
