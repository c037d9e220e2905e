"""The special tokens of a checkpoint's tokenizer.json: listed, marked, and spelled by no text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..runtime.errors import one_line
from .pieces import added_token, writes_pieces
from .prompts import PromptFamily


def special_ids(content: Mapping[str, Any]) -> dict[str, int]:
    """Return the special tokens with their ids."""
    return {
        token["content"]: token["id"]
        for token in added_tokens(content)
        if token.get("special") is True and type(token.get("id")) is int
    }


def list_specials(
    file: Path, content: dict[str, Any], families: tuple[PromptFamily, ...]
) -> list[str]:
    """List pieces that prompts are made of and that a file has among its words alone.

    GGUF files and tokenizer.model may call CodeLlama's tokens for holes words as any.
    """
    vocabulary = content["model"].get("vocab")
    if not writes_pieces(content) or not isinstance(vocabulary, dict):
        return []
    listed = {token.get("content") for token in added_tokens(content)}
    names = {token for family in families for token in family.tokens} - listed
    if not (words := sorted(name for name in names if type(vocabulary.get(name)) is int)):
        return []
    more = [added_token(vocabulary[name], name, special=True) for name in words]
    content["added_tokens"] = [*added_tokens(content), *more]
    return [f"{file.name}: {', '.join(words)} are taken for special tokens"]


def mark_specials(
    file: Path, content: dict[str, Any], families: tuple[PromptFamily, ...]
) -> list[str]:
    """Mark as special what prompts are made of, or looks so: files differ in that for one model.

    Qwen2.5-Coder's was published with its tokens for holes as plain ones, which text could spell.
    """
    names = {token for family in families for token in family.tokens if not family.places}
    # Among pieces of text there may be tags of HTML, which are words as any.
    byte_level = not writes_pieces(content)
    plain = [
        token
        for token in added_tokens(content)
        if token.get("special") is False
        and isinstance(token.get("content"), str)
        and (token["content"] in names or (byte_level and _is_bracketed(token["content"])))
    ]
    if not plain or any(family.places for family in families):
        return []  # a published file says exactly what is special
    for token in plain:
        token["special"] = True
    listed = ", ".join(token["content"] for token in plain[:3])
    return [
        f"{file.name}: {len(plain)} tokens are marked as special, so that no text can spell them: "
        f"{one_line(listed)}{', ...' if len(plain) > 3 else ''}"
    ]


def _is_bracketed(name: str) -> bool:
    return len(name) > 2 and name.startswith("<") and name.endswith(">")


def drop_spelled(file: Path, content: dict[str, Any]) -> list[str]:
    """Drop merges by which text would become a special token."""
    merges, specials = content["model"].get("merges"), special_ids(content)
    if not isinstance(merges, list) or not specials:
        return []
    merges_left = [merge for merge in merges if _merged(merge) not in specials]
    if len(merges_left) == len(merges):
        return []
    content["model"]["merges"] = merges_left
    count = len(merges) - len(merges_left)
    return [f"{file.name}: {count} merges are left out that spell special tokens"]


def _merged(merge: Any) -> str | None:
    if isinstance(merge, str):
        return merge.replace(" ", "", 1)
    if not isinstance(merge, list) or not all(isinstance(part, str) for part in merge):
        return None
    return "".join(merge)


def check_specials(
    file: Path,
    content: dict[str, Any],
    tokenizer: Tokenizer,
    family: PromptFamily,
    problems: list[str],
) -> None:
    """Check ids in the list of added tokens and in the vocabulary: files exist that disagree."""
    added = {token["content"]: token for token in added_tokens(content)}
    places = {token: place for place, token in enumerate(family.places)}
    for token in family.tokens:
        listed = added.get(token, {}).get("id")
        expected = places.get(token, listed)
        own_id = listed if listed != expected else tokenizer.token_to_id(token)
        if own_id is None or own_id != expected:
            problems.append(
                f"{file.name}: special token {token} has id {own_id}, expected {expected}"
            )
        elif added[token].get("special") is not True:
            problems.append(
                f"{file.name}: {token} is not marked as special, so that text could spell it"
            )
    if family.places and (more := sorted(set(added) - set(family.places))):
        problems.append(
            f"{file.name}: {len(more)} special tokens beside the {len(family.places)} known ones: "
            f"{', '.join(more[:5])}"
        )


def spelled_specials(tokenizer: Tokenizer, specials: Mapping[str, int]) -> list[str]:
    """Name special tokens that a text of their name would become."""
    tokenizer.encode_special_tokens = True
    spelled = [
        name
        for name, token in specials.items()
        if token in tokenizer.encode(name, add_special_tokens=False).ids
    ]
    tokenizer.encode_special_tokens = False
    return [f"{name} is a special token, and text can spell it" for name in spelled[:3]]


def added_tokens(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a tokenizer.json that are tokens."""
    added = content.get("added_tokens")
    return [token for token in added or [] if isinstance(token, dict)]
