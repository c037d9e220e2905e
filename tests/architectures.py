"""Tiny random checkpoints of each architecture that export reads, as transformers writes them.

The next Llama-like model is one more row.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from refact_edge.export import families
from refact_edge.export.prompts import PromptFamily
from refact_edge.runtime.text.alphabet import BYTE_ALPHABET
from refact_edge.runtime.text.pipelines import PIPELINES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
}  # fmt: skip


def config_json(row: Row) -> dict[str, Any]:
    """Return a row's config.json."""
    heads = row.config.get("num_attention_heads", 6)
    config = {
        "model_type": row.model_type,
        "hidden_size": 16 * heads,
        "num_attention_heads": heads,
        "num_hidden_layers": 2,
        "intermediate_size": 224,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "torch_dtype": "bfloat16",
        **row.config,
    }
    return {name: value for name, value in config.items() if value is not None}


def tokenizer_json(row: Row) -> dict[str, Any]:
    """Return a byte-level BPE with the row's pipeline, and its special tokens at the end."""
    alphabet = list(BYTE_ALPHABET)
    specials = list(dict.fromkeys([*row.specials, *row.family.tokens]))
    merges = list(itertools.islice(itertools.product(alphabet[65:], repeat=2), 100))
    words = [*alphabet, *("".join(pair) for pair in merges)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    steps = [
        {"trim_offsets": True, **step} if step["type"] == "ByteLevel" else step
        for step in row.pipeline.steps
    ]
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": len(words) + i, "content": token, **flags, "special": True}
            for i, token in enumerate(specials)
        ],
        "normalizer": {"type": "NFC"} if row.pipeline.composes else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": {word: i for i, word in enumerate(words)},
            "merges": [list(pair) for pair in merges],
        },
    }


def build(row: Row) -> PreTrainedModel:
    """Return transformers' model with weights that are always the same, and not small."""
    from transformers import AutoConfig, AutoModelForCausalLM

    content = config_json(row)
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
            if "norm" in name:
                parameter.add_(1)
    return _rounded(built)


def _rounded(built: PreTrainedModel) -> PreTrainedModel:
    """Round weights to what bfloat16 holds, and keep them in fp32."""
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(parameter.bfloat16())
    return built


def make_checkpoint(
    row: Row,
    folder: Path,
    edit: Callable[[dict[str, Any]], object] = lambda config: None,
    **save: Any,
) -> Path:
    """Write a row's checkpoint into a new folder; `save` goes to transformers' own writer."""
    folder.mkdir(parents=True)
    build(row).bfloat16().save_pretrained(folder, **save)
    config = config_json(row)
    edit(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text = json.dumps(tokenizer_json(row), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return folder
