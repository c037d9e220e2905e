"""Tiny models of types that other loaders know, as their makers' files would be."""

from __future__ import annotations

import json
from pathlib import Path

from decoders import VARIANTS, VOCABULARY, model
from more_decoders import MORE

from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import made_up_tokenizer
from refact_edge.export.families import QWEN_CODER
from refact_edge.export.starcoder import SPECIAL_TOKENS

LOADABLE = ("llama", "qwen2")
assert "qwen2" in MORE  # whose import adds it to the families of decoders.py


def make_loadable(model_type: str, folder: Path) -> Path:
    """Export a model in all of `VARIANTS`, from `folder`/checkpoint to `folder`/bundle.

    Each row of logits is a token's: other loaders know of no padding.
    """
    checkpoint = folder / "checkpoint"
    model(model_type).save_pretrained(checkpoint)
    tokenizer = json.dumps(made_up_tokenizer(VOCABULARY), ensure_ascii=False)
    if model_type == "qwen2":
        for old, new in zip(SPECIAL_TOKENS, _qwen_tokens(), strict=True):
            tokenizer = tokenizer.replace(json.dumps(old), json.dumps(new))
    (checkpoint / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    export_bundle(checkpoint, folder / "bundle", list(VARIANTS))
    return folder / "bundle"


def _qwen_tokens() -> list[str]:
    """Return as many special tokens as StarCoder has, those of Qwen first."""
    names = QWEN_CODER.tokens
    return [*names, *(f"<|spare_{place}|>" for place in range(len(SPECIAL_TOKENS) - len(names)))]
