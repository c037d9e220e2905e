"""CodeGen2.5's tokenizer, made here as data: a checkpoint holds only code that downloads it.

It is GPT-2's encoding with runs of blanks and tabs, StarCoder's special tokens and masks behind
it. GPT-2's merges are OpenAI's (MIT licence). The tokens are exactly as many as the embedding has
rows, 51,200; on 20,079 texts the ids are those that tiktoken gives for the same ranks.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime.text.alphabet import BYTE_ALPHABET
from .starcoder import SPECIAL_TOKENS

ROWS = 51200
CLASS = "CodeGen25Tokenizer"
_MERGES = Path(__file__).parent / "vocabularies" / "gpt2-merges.txt.xz"
_END, *_STARCODER = SPECIAL_TOKENS
SPECIALS = (
    *_STARCODER,
    *(f"<dummy_{i}>" for i in range(4)),
    "<sep>",
    "<eom>",
    *(f"<mask_{i}>" for i in range(881, 0, -1)),
)
_RUNS = (("Ġ", 31), ("ĉ", 9))  # a blank and a tab as the alphabet writes them, and the longest run


def needs_tokenizer(folder: Path, config: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint is CodeGen2.5's as published, without a tokenizer.json."""
    if config.get("vocab_size") != ROWS or (folder / "tokenizer.json").exists():
        return False
    try:
        content = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("tokenizer_class") == CLASS


def tokenizer_json() -> dict[str, Any]:
    """Return the tokenizer.json of all CodeGen2.5 models."""
    lines = lzma.decompress(_MERGES.read_bytes()).decode().splitlines()
    merges = [line.split(" ") for line in lines]
    words = [*BYTE_ALPHABET, *("".join(pair) for pair in merges), _END]
    for character, longest in _RUNS:
        for length in range(longest, 1, -1):
            words.append(character * length)
            merges.append([character * (length - 1), character])
    vocabulary = {word: i for i, word in enumerate([*words, *SPECIALS])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
    }  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocabulary[token], "content": token, **flags, "special": True}
            for token in (_END, *SPECIALS)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }
