"""What a checkpoint's tokenizer must be, checked before anything is built on it.

Sources: the tokenizer.json published with the model. The runtime encodes user text and special
tokens apart, which is only right for this pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .checkpoint import read_json

_PIPELINE = {
    "normalizer": None,
    "post_processor": None,
    "truncation": None,
    "padding": None,
}
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
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if (
        not isinstance(model, dict)
        or model.get("type") != "BPE"
        or not isinstance(vocabulary, dict)
    ):
        problems.append(f"{file.name}: the model is no BPE with a vocabulary")
        return 0
    for field, expected in _PIPELINE.items():
        if content.get(field) != expected:
            problems.append(f"{file.name}: {field} is {_short(content.get(field))}, expected none")
    _check_steps(file, content.get("pre_tokenizer"), problems)
    added = _added_tokens(content)
    _check_specials(file, added, specials, problems)
    ids = sorted({*vocabulary.values(), *added.values()})
    if ids != list(range(len(ids))):
        problems.append(f"{file.name}: its {len(ids)} ids are not 0 to {len(ids) - 1}")
    return len(ids)


def _added_tokens(content: dict[str, Any]) -> dict[str, Any]:
    added = content.get("added_tokens") or []
    return {
        str(token.get("content")): token.get("id") for token in added if isinstance(token, dict)
    }


def _check_specials(
    file: Path, added: dict[str, Any], specials: Sequence[str], problems: list[str]
) -> None:
    for expected, token in enumerate(specials):
        if added.get(token) != expected:
            problems.append(
                f"{file.name}: special token {token} has id {added.get(token)}, expected {expected}"
            )
    if more := sorted(set(added) - set(specials)):
        problems.append(
            f"{file.name}: {len(more)} special tokens beside the {len(specials)} known ones: "
            f"{', '.join(more[:5])}"
        )


def _check_steps(file: Path, found: Any, problems: list[str]) -> None:
    steps = found.get("pretokenizers") if isinstance(found, dict) else None
    same = isinstance(steps, list) and len(steps) == len(_STEPS)
    for step, expected in zip(steps or [], _STEPS, strict=False):
        same = same and isinstance(step, dict) and expected.items() <= step.items()
        same = same and step.get("use_regex", True) is True
    if not same:
        problems.append(
            f"{file.name}: pre_tokenizer is {_short(found)}, expected Digits(individual) and then "
            "ByteLevel(no prefix space)"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
