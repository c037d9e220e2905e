"""The tokenizer in a GGUF file, as a tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime.errors import CheckpointError, one_line
from ..runtime.text.pipelines import PIPELINES, Pipeline
from .pieces import added_token, pieces_pipeline
from .sentencepiece_model import (
    CONTROL,
    UNUSED,
    USER_DEFINED,
    added_pieces,
    check_pieces,
    merged_pieces,
)

_WORDS = {  # names of llama.cpp, and what our pipelines' words begin with
    "Digits": ("smollm", "starcoder", "refact", "codeshell"),
    "ByteLevel": ("gpt-2", "olmo", "mellum", "mpt"),
    "Qwen2": ("qwen2", "stablelm2"),
    "Llama 3": ("llama-bpe",),
    "Seed": ("seed-coder",),
    "DeepSeek": ("deepseek-coder",),
}
PIPELINE_OF: Mapping[str, Pipeline] = {
    name: next(pipeline for pipeline in PIPELINES if pipeline.words.startswith(words))
    for words, names in _WORDS.items()
    for name in names
}


def tokenizer_json(file: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokenizer.json of the keys of a GGUF file.

    Raises:
        CheckpointError: when the tokenizer is of a kind that is not read.

    """
    kind = keys.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise CheckpointError(
            f"{file}: tokenizer.ggml.model is {kind!r:.40}, expected 'gpt2' (byte-level BPE) or "
            "'llama' (SentencePiece)"
        )
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    # Rows that only pad the embedding stand at the end.
    used = next((i for i in range(len(tokens), 0, -1) if types[i - 1] != UNUSED), 0)
    if not used:
        raise CheckpointError(f"{file} has no tokens; download it again")
    scores = keys.get("tokenizer.ggml.scores", [0.0] * used)
    pieces = list(zip(tokens[:used], scores[:used], types[:used], strict=True))
    if kind == "gpt2":
        added = [
            {**added_token(i, text, special=of == CONTROL), "normalized": False}
            for i, (text, _, of) in enumerate(pieces)
            if of in (CONTROL, USER_DEFINED)
        ]
        parts = _byte_level(file, keys, tokens[:used])
    else:
        check_pieces(file, pieces)
        added = added_pieces(pieces, (), fallback=True)
        never = {token["content"] for token in added if token["special"]}
        prepends = keys.get("tokenizer.ggml.add_space_prefix", True)
        model = merged_pieces(pieces, never)
        parts = {**pieces_pipeline(prepends=prepends), "model": model}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "post_processor": _begin(keys, tokens),
        "decoder": None,
        **parts,
    }


def pre_name(tokenizer: Mapping[str, Any]) -> str:
    """Return llama.cpp's name for how a tokenizer.json with byte-level BPE cuts text.

    Raises:
        CheckpointError: when it has none here.

    """
    step = tokenizer["pre_tokenizer"]
    steps = step.get("pretokenizers", [step])
    for name, pipeline in PIPELINE_OF.items():
        if len(steps) == len(pipeline.steps) and all(
            expected.items() <= own.items()
            for expected, own in zip(pipeline.steps, steps, strict=True)
        ):
            return name
    raise CheckpointError(f"llama.cpp has no name for a pre_tokenizer like {one_line(step, 80)}")


def _byte_level(file: Path, keys: Mapping[str, Any], tokens: list[str]) -> dict[str, Any]:
    name = keys.get("tokenizer.ggml.pre", "default")
    if name not in PIPELINE_OF:
        raise CheckpointError(
            f"{file}: tokenizer.ggml.pre is {name!r:.40}, expected one of "
            f"{', '.join(sorted(PIPELINE_OF))}"
        )
    pipeline = PIPELINE_OF[name]
    steps = [
        {"trim_offsets": True, **step} if step["type"] == "ByteLevel" else step
        for step in pipeline.steps
    ]
    return {
        "normalizer": {"type": "NFC"} if pipeline.composes and name == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {
            "type": "BPE",
            "vocab": {text: i for i, text in enumerate(tokens)},
            "merges": keys["tokenizer.ggml.merges"],
            "ignore_merges": name == "llama-bpe",
        },
    }


def _begin(keys: Mapping[str, Any], tokens: list[str]) -> dict[str, Any] | None:
    """Return what puts the token of the beginning before a text, where the file says so."""
    first = keys.get("tokenizer.ggml.bos_token_id")
    if not keys.get("tokenizer.ggml.add_bos_token", False) or first is None:
        return None
    name = tokens[first]
    begin, text = (
        {"SpecialToken": {"id": name, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    )
    return {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text],
        "special_tokens": {name: {"id": name, "ids": [first], "tokens": [name]}},
    }
