"""Where a checkpoint's tokenizer.json comes from: its folder, or what is made in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import codegen25
from .checkpoint import read_json
from .prompts import PromptFamily
from .sentencepiece_model import MORE_TOKENS, model_file, tokenizer_json


def tokenizer_content(
    file: Path,
    families: tuple[PromptFamily, ...],
    config: Mapping[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """Return the content of tokenizer.json; append to `notes` where it was made here.

    Raises:
        CheckpointError: when there is neither that file nor one to make it of.

    """
    if codegen25.needs_tokenizer(file.parent, config):
        notes.append(f"{file.name}: there is none; CodeGen2.5's own is made of GPT-2's merges")
        return codegen25.tokenizer_json()
    if (model := model_file(file.parent)) is not None:
        notes.append(f"{file.name}: there is none; it is made of {model.name}")
        names = {token for family in families for token in family.tokens}
        more = MORE_TOKENS.get(str(config.get("model_type")), ())
        return tokenizer_json(model, names, more, notes)
    return read_json(file)
