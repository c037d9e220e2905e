"""What a checkpoint's tokenizer must be, checked before anything is built on it.

Sources: the tokenizer.json published with the model. The runtime encodes user text and special
tokens apart, which is only right for the pipelines it knows (runtime/text/pipelines.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..runtime.errors import one_line
from ..runtime.text.pipelines import pipeline_problems, read_tokenizer
from .checkpoint import read_json

_FOR_BATCHES = ("truncation", "padding")  # what training leaves there, and completing never wants


@dataclass(frozen=True)
class CheckedTokenizer:
    """What the bundle gets of a checkpoint's tokenizer.json, and what was left out of it."""

    content: bytes
    tokens: int  # 0 where it cannot be read
    notes: tuple[str, ...]


def check_tokenizer(file: Path, specials: Sequence[str], problems: list[str]) -> CheckedTokenizer:
    """Check tokenizer.json without what fine-tuning adds; append what is wrong to `problems`.

    Raises:
        CheckpointError: when there is no such file, or it is no JSON object.

    """
    content, notes = read_json(file), []
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        problems.append(f"{file.name}: the model is no BPE")
        return CheckedTokenizer(b"", 0, ())
    for section in _FOR_BATCHES:
        if content.get(section) is not None:
            content[section] = None
            notes.append(f"{file.name}: {section} is left out, which is for batches in training")
    notes += _drop_padding_token(file, content)
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    data = text if notes else file.read_bytes()
    tokens = _check_content(file, content, data, specials, problems)
    return CheckedTokenizer(data, tokens, tuple(notes))


def _drop_padding_token(file: Path, content: dict[str, Any]) -> list[str]:
    """Take away a token for padding behind the vocabulary, which only batches need.

    Its row of the embedding, where there is one, is a padding row then, and never drawn.
    """
    vocabulary, added = content["model"].get("vocab"), content.get("added_tokens")
    if not isinstance(vocabulary, dict) or not isinstance(added, list) or not added:
        return []
    last = added[-1]
    name = last.get("content") if isinstance(last, dict) else None
    if not isinstance(name, str) or "pad" not in name.lower() or name in vocabulary:
        return []
    if last.get("id") != len(vocabulary) or last.get("special") is not True:
        return []
    content["added_tokens"] = added[:-1]
    return [f"{file.name}: {name} is left out, a token for padding behind the vocabulary"]


def _check_content(
    file: Path,
    content: dict[str, Any],
    data: bytes,
    specials: Sequence[str],
    problems: list[str],
) -> int:
    """Return the number of tokens, 0 where it cannot be read; append what is wrong."""
    try:
        tokenizer = read_tokenizer(data)
    except ValueError as error:
        problems.append(f"{file.name}: the tokenizers library cannot read it ({_short(error)})")
        return 0
    problems += [f"{file.name}: {problem}" for problem in pipeline_problems(tokenizer)]
    _check_specials(file, content, tokenizer, specials, problems)
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if ids != list(range(len(ids))):
        problems.append(f"{file.name}: its {len(ids)} ids are not 0 to {len(ids) - 1}")
    return len(ids)


def _check_specials(
    file: Path,
    content: dict[str, Any],
    tokenizer: Tokenizer,
    specials: Sequence[str],
    problems: list[str],
) -> None:
    """Check ids in the list of added tokens and in the vocabulary: files exist that disagree."""
    added = {token["content"]: token for token in content.get("added_tokens") or []}
    for expected, token in enumerate(specials):
        listed = added.get(token, {}).get("id")
        own_id = listed if listed != expected else tokenizer.token_to_id(token)
        if own_id != expected:
            problems.append(
                f"{file.name}: special token {token} has id {own_id}, expected {expected}"
            )
        elif added[token].get("special") is not True:
            problems.append(
                f"{file.name}: {token} is not marked as special, so that text could spell it"
            )
    if more := sorted(set(added) - set(specials)):
        problems.append(
            f"{file.name}: {len(more)} special tokens beside the {len(specials)} known ones: "
            f"{', '.join(more[:5])}"
        )


def _short(value: object) -> str:
    return one_line(value if isinstance(value, Exception) else repr(value), 80)
