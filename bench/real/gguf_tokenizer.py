"""The tokenizer of a GGUF file, as the files that transformers reads: byte-level BPE alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, Any]

CONTROL, USER_DEFINED, UNUSED = 3, 4, 5  # types of tokens
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class UnknownFormError(ValueError):
    """A GGUF file holds what the converter does not know."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(f"{key} is {value!r:.200}, expected {expected}")


@dataclass(frozen=True)
class Split:
    """How text is split before its pieces become tokens; no expression is ByteLevel's own."""

    digits: bool = False  # one by one
    expression: str | None = None
    nfc: bool = False


# By the name that llama.cpp gives it.
SPLITS = {
    "smollm": Split(digits=True),
    "starcoder": Split(digits=True),
    "refact": Split(digits=True),
    "gpt-2": Split(),
    "qwen2": Split(expression=_QWEN2, nfc=True),
}
_NAMES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def tokenizer_files(fields: Fields) -> dict[str, dict[str, Any]]:
    """Return the content of a tokenizer's files, by name.

    Raises:
        UnknownFormError: when it is no byte-level BPE whose way to split text is known.

    """
    model, pre = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    if model != "gpt2":
        raise UnknownFormError("tokenizer.ggml.model", model, "gpt2, which is byte-level BPE")
    if pre not in SPLITS:
        raise UnknownFormError("tokenizer.ggml.pre", pre, f"one of {', '.join(SPLITS)}")
    if fields.get("tokenizer.ggml.add_bos_token"):
        raise UnknownFormError("tokenizer.ggml.add_bos_token", True, "false")
    tokens = fields["tokenizer.ggml.tokens"]
    if len(set(tokens)) != len(tokens):
        raise UnknownFormError("tokenizer.ggml.tokens", "a list with two equal ones", "none equal")
    added = _added(tokens, fields["tokenizer.ggml.token_type"])
    return {
        "tokenizer.json": _tokenizer(fields, SPLITS[pre], added),
        "tokenizer_config.json": _settings(fields, added),
        "generation_config.json": {
            f"{short}_token_id": fields[key]
            for short, long in _NAMES.items()
            if (key := f"tokenizer.ggml.{long}_token_id") in fields
        },
    }


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    """Return the tokens that are found in text before it is split."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": i, "content": tokens[i], **plain, "special": kind == CONTROL}
        for i, kind in enumerate(types)
        if kind in (CONTROL, USER_DEFINED)
    ]


def _tokenizer(fields: Fields, split: Split, added: list[dict[str, Any]]) -> dict[str, Any]:
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if split.nfc else None,
        "pre_tokenizer": _pre_tokenizer(split),
        "post_processor": None,
        "decoder": _byte_level(use_regex=True, add_prefix_space=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            # Rows that fill up the embedding have names in a GGUF file alone.
            "vocab": {text: i for i, text in enumerate(tokens) if types[i] != UNUSED},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def _pre_tokenizer(split: Split) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if split.digits:
        steps.append({"type": "Digits", "individual_digits": True})
    if split.expression is not None:
        pattern = {"Regex": split.expression}
        steps.append({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False})
    steps.append(_byte_level(use_regex=split.expression is None, add_prefix_space=False))
    return steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}


def _byte_level(*, use_regex: bool, add_prefix_space: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _settings(fields: Fields, added: list[dict[str, Any]]) -> dict[str, Any]:
    tokens = fields["tokenizer.ggml.tokens"]
    named = {
        f"{short}_token": tokens[fields[key]]
        for short, long in _NAMES.items()
        if (key := f"tokenizer.ggml.{long}_token_id") in fields
    }
    settings: dict[str, Any] = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in added
        },
        **named,
    }
    if "tokenizer.chat_template" in fields:
        settings["chat_template"] = fields["tokenizer.chat_template"]
    return settings


def split_name(tokenizer: Mapping[str, Any]) -> str:
    """Return llama.cpp's name for how a tokenizer.json splits text.

    Raises:
        UnknownFormError: when it has none here.

    """
    step = tokenizer["pre_tokenizer"]
    steps = step.get("pretokenizers", [step])
    kinds = [step["type"] for step in steps]
    expressions = [step["pattern"].get("Regex") for step in steps if step["type"] == "Split"]
    for name, split in SPLITS.items():
        if split.digits == ("Digits" in kinds) and expressions == [
            expression for expression in (split.expression,) if expression is not None
        ]:
            return name
    raise UnknownFormError("pre_tokenizer", step, f"that of {', '.join(SPLITS)}")
