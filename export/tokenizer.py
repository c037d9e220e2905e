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
from ..runtime.text.pieces import has_pieces
from ..runtime.text.pipelines import pipeline_problems, read_tokenizer, splits_digits
from .pieces import make_canonical, writes_pieces
from .prompts import PromptFamily, Traits, family_of
from .specials import (
    check_specials,
    drop_spelled,
    list_specials,
    mark_specials,
    special_ids,
    spelled_specials,
)
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
    if kind != "BPE" and not (kind == "Unigram" and writes_pieces(content)):
        problems.append(f"{file.name}: the model is no BPE")
        return _NONE
    for section in _FOR_BATCHES:
        if content.get(section) is not None:
            content[section] = None
            notes.append(f"{file.name}: {section} is left out, which is {_LEFT_OUT}")
    notes += _drop_padding_token(file, content)
    notes += list_specials(file, content, families)
    notes += mark_specials(file, content, families)
    notes += drop_spelled(file, content)
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
    specials = special_ids(content)
    named = f"{file.parent.resolve().name} {config.get('_name_or_path', '')}".lower()
    traits = Traits(config, specials, splits_digits(tokenizer), named)
    family = _family(file, families, traits, name, problems)
    if family is not None:
        check_specials(file, content, tokenizer, family, problems)
    problems += [f"{file.name}: {problem}" for problem in spelled_specials(tokenizer, specials)]
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if ids != list(range(len(ids))):
        problems.append(f"{file.name}: its {len(ids)} ids are not 0 to {len(ids) - 1}")
    notes += _tell_missing_bytes(file, tokenizer)
    start = tuple(specials[token] for token in before or () if token in specials)
    return CheckedTokenizer(data, len(ids), family, specials, start, before_text, tuple(notes))


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


def _take_post_processor(content: dict[str, Any]) -> list[str] | None:
    """Take away what is done to ids behind the pipeline; return the tokens it puts before a text.

    The runtime puts special tokens itself. None where there was nothing to take away.
    """
    processor = content.get("post_processor")
    if not isinstance(processor, dict):
        return None
    steps = processor.get("processors", [processor])
    kinds = ("ByteLevel", "TemplateProcessing")
    if not _are_objects(steps) or not all(step.get("type") in kinds for step in steps):
        return None  # pipeline_problems says what it is
    if not all(_are_objects(step.get("single", [])) for step in steps):
        return None
    content["post_processor"] = None
    single = [part for step in steps for part in step.get("single", [])]
    before: list[str] = []
    for part in single:
        if "Sequence" in part:
            break
        before.append(str(part.get("SpecialToken", {}).get("id")))
    return before


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _family(
    file: Path,
    families: tuple[PromptFamily, ...],
    traits: Traits,
    name: str | None,
    problems: list[str],
) -> PromptFamily | None:
    """Return the family of that name or the one that fits; append why there is none."""
    if len(families) == 1 and families[0].places:
        return families[0]  # check_specials says what it lacks
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


def _tell_missing_bytes(file: Path, tokenizer: Tokenizer) -> list[str]:
    """Tell which bytes no token holds: the model never sees them, and the user should know."""
    if has_pieces(tokenizer):
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
