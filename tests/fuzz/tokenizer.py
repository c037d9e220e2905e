"""Changes to tokenizer.json."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from refact_edge.runtime.bundle.contract import TOKENIZER

from .damage import damage
from .manifest import make_fit
from .values import NUMBERS, TEXTS, brief, disturb, hostile, written

Content = dict[str, Any]

_PADDING = {
    "strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None,
    "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>",
}  # fmt: skip
_TRUNCATION = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 7}
_SPLIT = {"type": "Split", "pattern": {"Regex": "(a|a)*$"}, "behavior": "Isolated", "invert": False}
_SLOW = {
    "type": "Split",
    "pattern": {"Regex": "(?:(?:x+)+)+y"},
    "behavior": "Removed",
    "invert": True,
}
_CHARSMAP = base64.b64encode(bytes([255, 255, 255, 127, *range(40)])).decode()

_PARTS: dict[str, tuple[Any, ...]] = {
    "normalizer": (
        {"type": "NFC"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "Nmt"},
        {"type": "StripAccents"}, {"type": "ByteLevel"},
        {"type": "Precompiled", "precompiled_charsmap": _CHARSMAP},
        {"type": "Precompiled", "precompiled_charsmap": ""},
        {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Prepend", "prepend": "x" * 10_000},
        {"type": "Replace", "pattern": {"String": ""}, "content": "x" * 1000},
        {"type": "Replace", "pattern": {"Regex": "("}, "content": "x"},
        {"type": "Replace", "pattern": {"Regex": ""}, "content": "yy"},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
         "strip_accents": None, "lowercase": True},
        {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1000},
        {"type": "Sequence", "normalizers": []},
    ),
    "pre_tokenizer": (
        None, _SPLIT, _SLOW, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
        {"type": "BertPreTokenizer"}, {"type": "UnicodeScripts"},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False},
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
        {"type": "Metaspace", "replacement": "", "prepend_scheme": "always", "split": True},
        {"type": "CharDelimiterSplit", "delimiter": "a"},
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "Digits", "individual_digits": False},
        {"type": "FixedLength", "length": 0},
        {"type": "Sequence", "pretokenizers": []},
    ),
    "decoder": (
        None, {"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "BPEDecoder", "suffix": "</w>"},
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
        {"type": "CTC", "pad_token": "x", "word_delimiter_token": "|", "cleanup": True},
        {"type": "Strip", "content": " ", "start": 2**63, "stop": 2**63},
    ),
    "post_processor": (
        {"type": "BertProcessing", "sep": ["x", 10**9], "cls": ["y", 0]},
        {"type": "RobertaProcessing", "sep": ["x", 1], "cls": ["y", 0], "trim_offsets": True,
         "add_prefix_space": True},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
         "pair": [], "special_tokens": {}},
        {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}],
         "pair": [], "special_tokens": {"x": {"id": "x", "ids": [2**31], "tokens": ["x"]}}},
    ),
    "padding": (_PADDING, _PADDING | {"strategy": "BatchLongest"},
                _PADDING | {"strategy": {"Fixed": 2000}, "pad_id": 2**31},
                _PADDING | {"strategy": {"Fixed": 3}, "pad_to_multiple_of": 0},
                _PADDING | {"strategy": {"Fixed": 3}, "pad_to_multiple_of": 2**40}),
    "truncation": (_TRUNCATION, _TRUNCATION | {"stride": 8}, _TRUNCATION | {"stride": 2**40},
                   _TRUNCATION | {"max_length": 0, "stride": 0},
                   _TRUNCATION | {"direction": "Left"},
                   _TRUNCATION | {"strategy": "OnlySecond"}),
}  # fmt: skip


def mutate(random: Random, folder: Path) -> str:
    """Change a bundle's tokenizer; half the time the manifest counts its tokens anew."""
    change = change_file(random, folder / TOKENIZER)
    count = _count(folder / TOKENIZER) if random.random() < 0.5 else 0
    make_fit(folder, tokens=count)
    return change


def change_file(random: Random, file: Path) -> str:
    """Change a tokenizer.json."""
    if random.random() < 0.1:
        data, change = damage(random, file.read_bytes())
        file.write_bytes(data)
        return change
    content: Content = json.loads(file.read_text())
    changes = [random.choice(_CHANGES)(random, content) for _ in range(random.choice((1, 1, 2)))]
    data, damaged = written(random, content)
    file.write_bytes(data)
    return "; ".join(filter(None, [*changes, damaged]))


def _count(file: Path) -> int:
    """Return how many tokens there seem to be; 0 where the file is damaged."""
    try:
        content = json.loads(file.read_bytes())
        added = {token["content"] for token in content["added_tokens"]}
        return len(added | set(content["model"]["vocab"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return 0


def _part(random: Random, content: Content) -> str:
    name = random.choice(list(_PARTS))
    part = random.choice(_PARTS[name])
    old = content.get(name)
    if name == "pre_tokenizer" and part and random.random() < 0.5:
        part = {"type": "Sequence", "pretokenizers": random.sample([part, old], 2)}
    content[name] = part
    return f"{name} is {brief(part)}"


def _any(random: Random, content: Content) -> str:
    name = random.choice(("pre_tokenizer", "decoder", "added_tokens", ""))
    part = content.get(name)
    if part and isinstance(part, dict | list):
        return f"{name}: {disturb(random, part)}"
    name = random.choice(list(content) or ["x"])
    content[name] = hostile(random)
    return f"{name} is {brief(content[name])}"


def _model(random: Random, content: Content) -> str:
    """Change an option of the model, or the model."""
    model = content.get("model")
    if not isinstance(model, dict):
        return _any(random, content)
    name, *choices = random.choice((
        ("dropout", 0.5, 1.0, 0.0, -1, 2, float("nan"), "x"),
        ("unk_token", "x", "<|endoftext|>", "", 3, "!"),
        ("continuing_subword_prefix", "##", "", "x", "é", 1),
        ("end_of_word_suffix", "</w>", "", "é", 1),
        ("fuse_unk", True, 1),
        ("byte_fallback", True),
        ("ignore_merges", True),
        ("type", "WordLevel", "WordPiece", "Unigram", "BPE", "x", None),
        ("vocab", {}, [], None, [["a", 0.0], ["b", float("nan")]], {"a": 0}, {"a": 2**32 - 1}),
        ("merges", [], None, [["a", "b"]], ["a b"], ["ab"], ["a b c"], [["!", "!"]] * 1000, [[]]),
    ))  # fmt: skip
    model[name] = random.choice(choices)
    return f"model: {name} is {brief(model[name])}"


def _vocab(random: Random, content: Content) -> str:
    """Change ids and names in the vocabulary."""
    model = content.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or not vocab:
        return _any(random, content)
    token = random.choice(list(vocab))
    change = random.choice(("id", "id", "drop", "rename", "add", "double"))
    if change == "id":
        vocab[token] = random.choice((*NUMBERS, len(vocab), len(vocab) + 1))
        return f"vocab: {token!r} is {brief(vocab[token])}"
    if change == "double":
        vocab[token] = random.choice(list(vocab.values()))
    if change in ("drop", "rename"):
        number = vocab.pop(token)
        if change == "rename":
            vocab[random.choice((*TEXTS, "\u2028", token * 2, "\u0120\u0120"))] = number
    if change == "add":
        vocab[random.choice(("new", "\u010a\u010a", "é\u0301"))] = len(vocab)
    return f"vocab: {token!r}, {change}"


def _merges(random: Random, content: Content) -> str:
    model = content.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    if not isinstance(merges, list) or not merges:
        return _any(random, content)
    merge = random.choice(
        (["nothing", "!"], ["!", ""], "! !", ["!"], None, merges[0], ["!", "!", "!"], "!")
    )
    merges.insert(random.randrange(len(merges) + 1), merge)
    return f"merges: {merge!r}"


def _added(random: Random, content: Content) -> str:
    """Change the added tokens."""
    tokens = content.get("added_tokens")
    if not isinstance(tokens, list) or not tokens:
        return _any(random, content)
    token = random.choice(tokens)
    change = random.choice(("field", "field", "field", "drop", "twice", "new", "many"))
    if change == "drop":
        tokens.remove(token)
    elif change == "twice":
        tokens.append(dict(token))
    elif change in ("new", "many"):
        for i in range(1 if change == "new" else 1000):
            number = random.choice((len(tokens), 2**31, 420 + i, 0, i))
            text = random.choice((f"new{i}", "a", "", " ", "\n", "ret", "é"))
            tokens.append(dict(token) | {"id": number, "content": text})
    elif isinstance(token, dict):
        name, *choices = random.choice((
            ("id", *NUMBERS), ("content", *TEXTS, "a", "def", "\n"), ("special", False, None, 1),
            ("lstrip", True), ("rstrip", True), ("single_word", True), ("normalized", True),
        ))  # fmt: skip
        token[name] = random.choice(choices)
        return f"added_tokens: {name} is {brief(token[name])}"
    return f"added_tokens: {change}"


_CHANGES: tuple[Callable[[Random, Content], str], ...] = (
    _part, _part, _part, _any, _model, _model, _vocab, _merges, _added, _added,
)  # fmt: skip
