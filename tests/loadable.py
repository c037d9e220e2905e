"""Tiny models of each type, as their makers' files would be, as bundles for other loaders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from architectures import ROWS, tokenizer_json
from architectures import make_checkpoint as make_row
from decoders import VARIANTS, VOCABULARY, model
from more_decoders import MORE

from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import made_up_tokenizer
from refact_edge.export.families import QWEN_CODER
from refact_edge.export.starcoder import SPECIAL_TOKENS

assert "qwen2" in MORE  # whose import adds it to the families of decoders.py
# Of these the rows of architectures.py have checkpoints.
OF_ROWS = {
    "qwen3": "qwen3",
    "mistral": "codestral",
    "gemma": "codegemma",
    "stablelm": "stable-code",
    "gpt_neox": "stablecode",
    "mpt": "replit-code",
    "gpt_bigcode": "starcoder",
    "starcoder2": "starcoder2",
    "chatglm": "octogeex",
}
LOADABLE = ("llama", "qwen2", *OF_ROWS)


def make_loadable(model_type: str, folder: Path) -> Path:
    """Export a model in all of `VARIANTS`, from `folder`/checkpoint to `folder`/bundle.

    Each row of logits is a token's: other loaders know of no padding.
    """
    checkpoint = folder / "checkpoint"
    if model_type in OF_ROWS:
        _make_row(OF_ROWS[model_type], checkpoint)
    else:
        _make_decoder(model_type, checkpoint)
    export_bundle(checkpoint, folder / "bundle", list(VARIANTS))
    return folder / "bundle"


def _make_row(name: str, checkpoint: Path) -> None:
    row = ROWS[name]
    content = tokenizer_json(row)
    vocabulary = content["model"]["vocab"]
    words = vocabulary if isinstance(vocabulary, dict) else dict(vocabulary)
    tokens = len({*words, *(token["content"] for token in content["added_tokens"])})
    size = "padded_vocab_size" if row.model_type == "chatglm" else "vocab_size"
    make_row(replace(row, config={**row.config, size: tokens}), checkpoint)


def _make_decoder(model_type: str, checkpoint: Path) -> None:
    model(model_type).save_pretrained(checkpoint)
    tokenizer = json.dumps(made_up_tokenizer(VOCABULARY), ensure_ascii=False)
    if model_type == "qwen2":
        for old, new in zip(SPECIAL_TOKENS, _qwen_tokens(), strict=True):
            tokenizer = tokenizer.replace(json.dumps(old), json.dumps(new))
    (checkpoint / "tokenizer.json").write_text(tokenizer, encoding="utf-8")


def _qwen_tokens() -> list[str]:
    """Return as many special tokens as StarCoder has, those of Qwen first."""
    names = QWEN_CODER.tokens
    return [*names, *(f"<|spare_{place}|>" for place in range(len(SPECIAL_TOKENS) - len(names)))]
