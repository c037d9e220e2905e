"""What a checkpoint's tokenizer must be, checked before anything is built on it.

Sources: the tokenizer.json published with the model. The runtime encodes user text and special
tokens apart, which is only right for this pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from .checkpoint import read_json

_ABSENT = ("normalizer", "post_processor", "truncation", "padding")
_STEPS = [
    {"type": "Digits", "individual_digits": True},
    {"type": "ByteLevel", "add_prefix_space": False},
]


def check_tokenizer(file: Path, specials: Sequence[str], problems: list[str]) -> int:
    """Check tokenizer.json and return its number of tokens; append what is wrong to `problems`.

    Raises:
        CheckpointError: when there is no such file, or it is no JSON object.

    """
    content = read_json(file)
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        problems.append(f"{file.name}: the model is no BPE")
        return 0
    for holder, field in [*((content, name) for name in _ABSENT), (model, "dropout")]:
        if holder.get(field) is not None:
            problems.append(f"{file.name}: {field} is {_short(holder[field])}, expected none")
    _check_steps(file, content.get("pre_tokenizer"), problems)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more specific
        problems.append(f"{file.name}: the tokenizers library cannot read it ({_short(error)})")
        return 0
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
        found = listed if listed != expected else tokenizer.token_to_id(token)
        if found != expected:
            problems.append(
                f"{file.name}: special token {token} has id {found}, expected {expected}"
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


def _check_steps(file: Path, found: Any, problems: list[str]) -> None:
    steps = found.get("pretokenizers") if isinstance(found, dict) else None
    steps = steps if isinstance(steps, list) else []
    same = len(steps) == len(_STEPS)
    for step, expected in zip(steps, _STEPS, strict=False):
        same = same and isinstance(step, dict) and expected.items() <= step.items()
        same = same and step.get("use_regex", True) is True
    if not same:
        problems.append(
            f"{file.name}: pre_tokenizer is {_short(found)}, expected Digits(individual) and then "
            "ByteLevel(no prefix space)"
        )


def _short(value: object) -> str:
    text = " ".join((str(value) if isinstance(value, Exception) else repr(value)).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
