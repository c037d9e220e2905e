"""The files by which other loaders open a bundle: optimum, onnxruntime-genai, transformers.js.

None of them need know the model, so config.json carries the label of a decoder they do know and
whose cache has the same shape. It says nothing about the weights; refact_edge.json does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from ..runtime.bundle.contract import (
    ATTENTION_MASK,
    INPUT_IDS,
    LOGITS,
    Sizes,
    standard_graph,
    weights_file,
)
from ..runtime.bundle.decoder import Decoder

# What transformers.js calls our variants.
_DTYPES = {"fp32": "fp32", "fp16": "fp16", "int8": "int8", "int4": "q4"}
_END = "<|endoftext|>"
# The variant that loaders take when they must name one.
_FIRST_CHOICE = ("int4", "int8", "fp32", "fp16")


def first_choice(variants: Sequence[str]) -> str:
    """Return the variant that a loader should open when its user names none."""
    return next(name for name in _FIRST_CHOICE if name in variants)


def hugging_face_config(decoder: Decoder, variants: Sequence[str]) -> dict[str, Any]:
    """Return config.json. The decoder's label is llama: see the module's docstring."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": decoder.width,
        "intermediate_size": decoder.mlp.hidden,
        "num_hidden_layers": decoder.layers,
        "num_attention_heads": decoder.attention.heads,
        "num_key_value_heads": decoder.attention.kv_heads,
        "head_dim": decoder.attention.head_size,
        "vocab_size": decoder.vocabulary,
        "max_position_embeddings": decoder.context,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        "use_cache": True,
        "transformers.js_config": {
            "dtype": _DTYPES[first_choice(variants)],
            "use_external_data_format": {
                PurePosixPath(standard_graph(name)).name: 1 for name in variants
            },
        },
    }


def generation_config() -> dict[str, Any]:
    """Return generation_config.json."""
    return {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "do_sample": False}


def tokenizer_config(context: int) -> dict[str, Any]:
    """Return tokenizer_config.json; cleaning up spaces would corrupt code."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        **special_tokens_map(),
    }


def special_tokens_map() -> dict[str, str]:
    """Return special_tokens_map.json."""
    return {f"{role}_token": _END for role in ("bos", "eos", "unk", "pad")}


def genai_config(sizes: Sizes, variants: Sequence[str]) -> dict[str, Any]:
    """Return genai_config.json; an unknown key anywhere in it is fatal to its reader."""
    decoder = {
        "filename": standard_graph(first_choice(variants)),
        "head_size": sizes.head_size,
        "hidden_size": sizes.width,
        "num_attention_heads": sizes.heads,
        "num_hidden_layers": sizes.layers,
        "num_key_value_heads": sizes.kv_heads,
        "inputs": {
            INPUT_IDS: INPUT_IDS,
            ATTENTION_MASK: ATTENTION_MASK,
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            LOGITS: LOGITS,
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
        "session_options": {"provider_options": []},
    }
    return {
        "model": {
            "type": "decoder",
            "vocab_size": sizes.vocabulary,
            "context_length": sizes.context,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "decoder": decoder,
        },
        "search": {"max_length": sizes.context, "do_sample": False, "top_k": 50, "top_p": 1.0},
    }


def readme(name: str, variants: Sequence[str], licence: str | None) -> str:
    """Return the README that travels with a bundle."""
    rows = "\n".join(
        f"| {variant} | `{standard_graph(variant)}` | `{weights_file(variant)}` |"
        for variant in variants
    )
    graph = PurePosixPath(standard_graph(first_choice(variants))).name
    terms = f"See `{licence}`." if licence else "The checkpoint came without a licence file."
    return f"""# A refact-edge bundle

Made by refact-edge from a {name} checkpoint. `refact_edge.json` says what this is: architecture,
prompt layouts, source files with their sha256, and a sha256 for every file here.

    refact-edge complete --bundle . --prefix 'def add(a, b):' --suffix ''

`config.json` says `llama`. That is a label for loaders that do not know {name}; the weights are
{name}'s, and its norms and positions are in the graphs. Other loaders open the standard graphs:

| variant | graph | weights |
|---|---|---|
{rows}

    ORTModelForCausalLM.from_pretrained(folder, file_name="{graph}")   # optimum-onnx
    onnxruntime_genai.Model(folder)                                     # onnxruntime-genai

Always give optimum the file name: among several graphs it picks one by itself.

Licence of the weights: {terms}
"""
