"""The files by which other loaders open a bundle: optimum, onnxruntime-genai, transformers.js.

They compute with a bundle's graphs and want of the model no more than the shape of its cache and
the ids that end a text. Where they know the model's own type, config.json carries that and all
facts that belong to it. Else it carries the label of a decoder whose cache has the same shape;
then it says nothing about the weights, and refact_edge.json does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ..runtime.bundle.contract import (
    ATTENTION_MASK,
    INPUT_IDS,
    LOGITS,
    standard_graph,
    weights_file,
)
from ..runtime.bundle.decoder import Decoder
from .labels import STAND_IN, label_of

# What transformers.js calls our variants.
_DTYPES = {"fp32": "fp32", "fp16": "fp16", "int8": "int8", "int4": "q4"}
# The variant that loaders take when they must name one.
_FIRST_CHOICE = ("int4", "int8", "fp32", "fp16")


@dataclass(frozen=True)
class SpecialIds:
    """The ids with which a text starts (None: with none), ends and is padded, and their names."""

    start: int | None
    ends: tuple[int, ...]
    pad: int
    names: Mapping[int, str]

    @classmethod
    def of(
        cls, prompts: Mapping[str, Any], config: Mapping[str, Any], tokenizer: bytes
    ) -> SpecialIds:
        """Read a manifest's prompts, a checkpoint's config.json and the bundle's tokenizer.json.

        Texts are padded with the first id that ends one where config.json names no token for it.
        """
        added = json.loads(tokenizer)["added_tokens"]
        names = {token["id"]: token["content"] for token in added}
        start, ends, pad = prompts["start_ids"], prompts["end_ids"], config.get("pad_token_id")
        if not isinstance(pad, int) or pad not in names:
            pad = ends[0]
        return cls(start[0] if start else None, tuple(ends), pad, names)

    def as_config(self) -> dict[str, Any]:
        """Return the three as config.json has them: a single end is no list."""
        ends = list(self.ends)
        return {
            "bos_token_id": self.start,
            "eos_token_id": ends if len(ends) > 1 else ends[0],
            "pad_token_id": self.pad,
        }

    def as_tokens(self) -> dict[str, str]:
        """Return special_tokens_map.json, which has room for one end."""
        ids = {"bos": self.start, "eos": self.ends[0], "pad": self.pad}
        return {f"{role}_token": self.names[id] for role, id in ids.items() if id is not None}


def first_choice(variants: Sequence[str]) -> str:
    """Return the variant that a loader should open when its user names none."""
    return next(name for name in _FIRST_CHOICE if name in variants)


def hugging_face_config(
    model_type: str, decoder: Decoder, special: SpecialIds, variants: Sequence[str]
) -> dict[str, Any]:
    """Return config.json, with the model's own type or a label: see the module's docstring."""
    label = label_of(model_type)
    return {
        "architectures": [label.architecture],
        "model_type": label.model_type,
        "hidden_size": decoder.width,
        "intermediate_size": decoder.mlp.hidden,
        "num_hidden_layers": decoder.layers,
        "num_attention_heads": decoder.attention.heads,
        "num_key_value_heads": decoder.attention.kv_heads,
        "head_dim": decoder.attention.head_size,
        "vocab_size": decoder.vocabulary,
        "max_position_embeddings": decoder.context,
        **label.facts(decoder),
        **special.as_config(),
        "tie_word_embeddings": decoder.tied,
        "use_cache": True,
        "transformers.js_config": {
            "dtype": _DTYPES[first_choice(variants)],
            "use_external_data_format": {
                PurePosixPath(standard_graph(name)).name: 1 for name in variants
            },
        },
    }


def generation_config(special: SpecialIds) -> dict[str, Any]:
    """Return generation_config.json."""
    return {**special.as_config(), "do_sample": False}


def tokenizer_config(context: int, special: SpecialIds) -> dict[str, Any]:
    """Return tokenizer_config.json; cleaning up spaces would corrupt code."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        **special.as_tokens(),
    }


def genai_config(
    model_type: str, decoder: Decoder, special: SpecialIds, variants: Sequence[str]
) -> dict[str, Any]:
    """Return genai_config.json; an unknown key anywhere in it is fatal to its reader."""
    attention = decoder.attention
    graph = {
        "filename": standard_graph(first_choice(variants)),
        "head_size": attention.head_size,
        "hidden_size": decoder.width,
        "num_attention_heads": attention.heads,
        "num_hidden_layers": decoder.layers,
        "num_key_value_heads": attention.kv_heads,
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
    ids = {name: value for name, value in special.as_config().items() if value is not None}
    return {
        "model": {
            "type": label_of(model_type).genai,
            "vocab_size": decoder.vocabulary,
            "context_length": decoder.context,
            **ids,
            "decoder": graph,
        },
        "search": {"max_length": decoder.context, "do_sample": False, "top_k": 50, "top_p": 1.0},
    }


def readme(model_type: str, variants: Sequence[str], licence: str | None) -> str:
    """Return the README that travels with a bundle."""
    rows = "\n".join(
        f"| {variant} | `{standard_graph(variant)}` | `{weights_file(variant)}` |"
        for variant in variants
    )
    graph = PurePosixPath(standard_graph(first_choice(variants))).name
    terms = f"See `{licence}`." if licence else "The checkpoint came without a licence file."
    return f"""# A refact-edge bundle

Made by refact-edge from a {model_type} checkpoint. `refact_edge.json` says what this is:
architecture, prompt layouts, source files with their sha256, and a sha256 for every file here.

    refact-edge complete --bundle . --prefix 'def add(a, b):' --suffix ''

{_truth(model_type)}
Other loaders open the standard graphs:

| variant | graph | weights |
|---|---|---|
{rows}

    ORTModelForCausalLM.from_pretrained(folder, file_name="{graph}")   # optimum-onnx
    onnxruntime_genai.Model(folder)                                     # onnxruntime-genai

Always give optimum the file name: among several graphs it picks one by itself.

Licence of the weights: {terms}
"""


def _truth(model_type: str) -> str:
    """Say whether `config.json` says what the model is."""
    label = label_of(model_type)
    if label is not STAND_IN:
        return (
            f"`config.json` says what this is, a {label.model_type}; the weights are in the graphs."
        )
    return f"""`config.json` says `{label.model_type}`. That is a label for loaders that do not know
{model_type}; the weights are {model_type}'s, and its norms and positions are in the graphs."""
