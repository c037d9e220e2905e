"""What a checkpoint's tokenizer must be, checked before anything is built on it.

Sources: the tokenizer.json published with each model. The runtime encodes user text and special
tokens apart, which is only right for the pipelines it knows (runtime/text/pipelines.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import one_line
from ..runtime.text.alphabet import UNASSIGNED, missing_bytes
from ..runtime.text.pieces import has_pieces as spells_pieces
from ..runtime.text.pipelines import pipeline_problems, read_tokenizer, splits_digits
from .pieces import has_pieces, make_canonical
from .prompts import PromptFamily, Traits, family_of
from .tokenizer_source import tokenizer_content

_FOR_BATCHES = ("truncation", "padding")  # what training leaves there, and completing never wants
_LEFT_OUT = "for batches in training"


@dataclass(frozen=True)
class CheckedTokenizer:
    """What the bundle gets of a checkpoint's tokenizer.json, and what was left out of it.

    Args:
        content: the file as the bundle gets it.
        tokens: how many ids there are; 0 where it cannot be read.
        family: how the model is asked, if that could be told.
        specials: ids of the special tokens by their names: those that text must not spell.
        start: ids that the tokenizer itself puts before a text.
        before_text: a blank where it puts one there, else "".
        notes: what differs from the checkpoint's file.

    """

    content: bytes
    tokens: int
    family: PromptFamily | None
    specials: Mapping[str, int]
    start: tuple[int, ...]
    before_text: str
    notes: tuple[str, ...]


_NONE = CheckedTokenizer(b"", 0, None, {}, (), "", ())


def check_tokenizer(
    file: Path,
    families: tuple[PromptFamily, ...],
    config: Mapping[str, Any],
    problems: list[str],
    name: str | None = None,
    content: dict[str, Any] | None = None,
) -> CheckedTokenizer:
    """Check tokenizer.json without what fine-tuning adds; append what is wrong to `problems`.

    The family is the first of `families` that fits, or the one of that `name`. Where the file of
    weights has the tokenizer in it, that is the `content`, and there is no such file.

    Raises:
        CheckpointError: when there is no such file, or it is no JSON object.

    """
    notes: list[str] = []
    read = content is None
    if content is None:
        content = tokenizer_content(file, families, config, notes)
    as_it_was = json.dumps(content)
    before_text = make_canonical(content)
    model = content.get("model")
    kind = model.get("type", "BPE") if isinstance(model, dict) else None
    if kind != "BPE" and not (kind == "Unigram" and has_pieces(content)):
        problems.append(f"{file.name}: the model is no BPE")
        return _NONE
    for section in _FOR_BATCHES:
        if content.get(section) is not None:
            content[section] = None
            notes.append(f"{file.name}: {section} is left out, which is {_LEFT_OUT}")
    notes += _drop_padding_token(file, content)
    notes += _mark_specials(file, content, families)
    before = _take_post_processor(content)
    unchanged = read and not notes and json.dumps(content) == as_it_was
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    data = file.read_bytes() if unchanged else text
    try:
        tokenizer = read_tokenizer(data)
    except ValueError as error:
        problems.append(f"{file.name}: the tokenizers library cannot read it ({_short(error)})")
        return _NONE
    problems += [f"{file.name}: {problem}" for problem in pipeline_problems(tokenizer)]
    specials = _specials(content)
    named = f"{file.parent.resolve().name} {config.get('_name_or_path', '')}".lower()
    traits = Traits(config, specials, splits_digits(tokenizer), named)
    family = _family(file, families, traits, name, problems)
    if family is not None:
        _check_specials(file, content, tokenizer, family, problems)
    problems += [f"{file.name}: {problem}" for problem in _spelled(tokenizer, specials)]
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if ids != list(range(len(ids))):
        problems.append(f"{file.name}: its {len(ids)} ids are not 0 to {len(ids) - 1}")
    notes += _tell_missing_bytes(file, tokenizer)
    start = tuple(specials[token] for token in before or () if token in specials)
    return CheckedTokenizer(data, len(ids), family, specials, start, before_text, tuple(notes))


def _added(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    added = content.get("added_tokens")
    return [token for token in added or [] if isinstance(token, dict)]


def _specials(content: Mapping[str, Any]) -> dict[str, int]:
    """Return the special tokens with their ids."""
    return {
        token["content"]: token["id"]
        for token in _added(content)
        if token.get("special") is True and type(token.get("id")) is int
    }


def _spelled(tokenizer: Tokenizer, specials: Mapping[str, int]) -> list[str]:
    """Name special tokens that a text of their name would become."""
    tokenizer.encode_special_tokens = True
    spelled = [
        name
        for name, token in specials.items()
        if token in tokenizer.encode(name, add_special_tokens=False).ids
    ]
    tokenizer.encode_special_tokens = False
    return [f"{name} is a special token, and text can spell it" for name in spelled[:3]]


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


def _mark_specials(
    file: Path, content: dict[str, Any], families: tuple[PromptFamily, ...]
) -> list[str]:
    """Mark as special what prompts are made of, or looks so: files differ in that for one model.

    Qwen2.5-Coder's was published with its tokens for holes as plain ones, which text could spell.
    """
    names = {token for family in families for token in family.tokens if not family.places}
    # Among pieces of text there may be tags of HTML, which are words as any.
    byte_level = not has_pieces(content)
    plain = [
        token
        for token in _added(content)
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


def _take_post_processor(content: dict[str, Any]) -> list[str] | None:
    """Take away what is done to ids behind the pipeline; return the tokens it puts before a text.

    The runtime puts special tokens itself. None where there was nothing to take away.
    """
    processor = content.get("post_processor")
    if not isinstance(processor, dict):
        return None
    steps = processor.get("processors", [processor])
    if not all(step.get("type") in ("ByteLevel", "TemplateProcessing") for step in steps):
        return None  # pipeline_problems says what it is
    content["post_processor"] = None
    single = [part for step in steps for part in step.get("single", [])]
    before: list[str] = []
    for part in single:
        if "Sequence" in part:
            break
        before.append(str(part.get("SpecialToken", {}).get("id")))
    return before


def _family(
    file: Path,
    families: tuple[PromptFamily, ...],
    traits: Traits,
    name: str | None,
    problems: list[str],
) -> PromptFamily | None:
    """Return the family of that name or the one that fits; append why there is none."""
    if len(families) == 1 and families[0].places:
        return families[0]  # _check_specials says what it lacks
    if name is None:
        if (family := family_of(families, traits)) is not None:
            return family
        problems.append(
            f"{file.name}: its special tokens are those of no known prompts "
            f"({', '.join(one.name for one in families)})"
        )
        return None
    family = next((one for one in families if one.name == name), None)
    if family is None:
        problems.append(
            f"--prompts {name}; expected one of {', '.join(one.name for one in families)}"
        )
    elif missing := [token for token in family.tokens if token not in traits.tokens]:
        problems.append(f"{file.name}: --prompts {name} needs {', '.join(missing[:5])}")
        return None
    return family


def _check_specials(
    file: Path,
    content: dict[str, Any],
    tokenizer: Tokenizer,
    family: PromptFamily,
    problems: list[str],
) -> None:
    """Check ids in the list of added tokens and in the vocabulary: files exist that disagree."""
    added = {token["content"]: token for token in _added(content)}
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


def _tell_missing_bytes(file: Path, tokenizer: Tokenizer) -> list[str]:
    """Tell which bytes no token holds: the model never sees them, and the user should know."""
    if spells_pieces(tokenizer):
        lost = f"{file.name}: the vocabulary has no single bytes; text loses characters beyond it"
        return [] if tokenizer.token_to_id("<0x0A>") is not None else [lost]
    missing = missing_bytes(tokenizer)
    if missing <= UNASSIGNED:  # Refact's own vocabulary lacks one of these
        return []
    listed = " ".join(f"{byte:02x}" for byte in sorted(missing))
    return [f"{file.name}: the vocabulary holds no bytes {listed}; text loses them"]


def check_vocabulary(decoder: Decoder, tokens: int, problems: list[str]) -> None:
    """Compare the tokenizer's size with the embedding's; rows beyond it are padding."""
    if tokens > decoder.vocabulary:
        problems.append(
            f"tokenizer.json has {tokens} tokens, more than the {decoder.vocabulary} rows of the "
            "embedding"
        )


def _short(value: object) -> str:
    return one_line(value if isinstance(value, Exception) else repr(value), 80)
