"""The tokenizer pipelines that the runtime reads, checked as the tokenizers library built them.

A pipeline may do what its file says and still harm: pad each text to a billion tokens, drop merges
by chance, panic on some text. The runtime also encodes user text and special tokens apart, and line
by line, which is only right for these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..errors import one_line

LONGEST_TEXT = 2048  # bytes; Refact's tokenizer.json has 513 at most
_ABSENT = ("normalizer", "post_processor", "truncation", "padding")
_MODEL_OPTIONS = {
    "dropout": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
    "ignore_merges": False,
}


@dataclass(frozen=True)
class Pipeline:
    """A byte-level BPE: what its text is cut by, as JSON and in words."""

    steps: tuple[dict[str, Any], ...]
    words: str


PIPELINES = (
    Pipeline(
        (
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        ),
        "Digits(individual) and then ByteLevel(no prefix space)",
    ),
)


def read_tokenizer(content: bytes) -> Tokenizer:
    """Return the tokenizer that a tokenizer.json holds.

    Raises:
        ValueError: when the tokenizers library cannot read it; says why.

    """
    if (longest := _longest_text(content)) > LONGEST_TEXT:
        raise ValueError(f"a text of {longest} bytes, expected {LONGEST_TEXT} at most")
    with panics_as_errors():
        try:
            return Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises nothing more specific
            raise ValueError(one_line(error)) from error


def _longest_text(content: bytes) -> int:
    """Return the most bytes between two quotes that no backslash stands before.

    The library took 6 seconds for an added token of 10,000 characters, and 55 for 30,000. This took
    7 ms for a published file of 3.5 MB, and reading its JSON some 90.
    """
    signs = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero((signs[1:] == ord('"')) & (signs[:-1] != ord("\\")))
    return int(np.diff(quotes, prepend=-1, append=len(signs)).max())


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a ValueError where the library's own language panics, which no `Exception` tells."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the tokenizers library panics: {one_line(error)}") from error


def pipeline_problems(tokenizer: Tokenizer) -> list[str]:
    """Return how a tokenizer differs from all pipelines; empty when it is one of them."""
    if type(tokenizer.model).__name__ != "BPE":
        return [f"the model is {type(tokenizer.model).__name__}, expected BPE"]
    problems = [
        f"{name} is {_short(_state(getattr(tokenizer, name)))}, expected none"
        for name in _ABSENT
        if getattr(tokenizer, name) is not None
    ]
    for option, expected in _MODEL_OPTIONS.items():
        value = getattr(tokenizer.model, option)
        if (value or None) != (expected or None):
            problems.append(f"{option} is {_short(value)}, expected {expected}")
    cut = _state(tokenizer.pre_tokenizer)
    if not any(_cuts_so(cut, pipeline) for pipeline in PIPELINES):
        words = ", or ".join(pipeline.words for pipeline in PIPELINES)
        problems.append(f"pre_tokenizer is {_short(cut)}, expected {words}")
    return problems


def _state(part: Any) -> Any:
    """Return a part of a tokenizer as the JSON that it is saved as; settings stay as they are."""
    if part is None or isinstance(part, dict):
        return part
    return json.loads(part.__getstate__())


def _cuts_so(cut: Any, pipeline: Pipeline) -> bool:
    steps = cut.get("pretokenizers") if isinstance(cut, dict) else None
    if not isinstance(steps, list) or len(steps) != len(pipeline.steps):
        return False
    return all(
        expected.items() <= step.items()
        for step, expected in zip(steps, pipeline.steps, strict=True)
    )


def _short(value: object) -> str:
    return one_line(repr(value), 80)
