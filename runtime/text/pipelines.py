"""The tokenizer pipelines that the runtime reads, checked as the tokenizers library built them.

Those of SentencePiece, which have no words, are in pieces.py.

A pipeline may do what its file says and still harm: pad each text to a billion tokens, drop merges
by chance, panic on some text. The runtime also encodes user text and special tokens apart, and line
by line, which is only right for these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..errors import one_line
from .lines import Cut
from .pieces import KINDS, has_pieces, pieces_cut, pieces_problems
from .states import short, state

LONGEST_TEXT = 2048  # bytes; Refact's tokenizer.json has 513 at most
_ABSENT = ("post_processor", "truncation", "padding")
_MODEL_OPTIONS = {
    "dropout": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
}


@dataclass(frozen=True)
class Pipeline:
    """A byte-level BPE: what its text is cut by, as JSON and in words, and where lines may be cut.

    With `composes` a text may be put into Unicode's composed form (NFC) first.
    """

    steps: tuple[dict[str, Any], ...]
    words: str
    cut: Cut
    composes: bool = False


def _split(expression: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }


_DIGITS = {"type": "Digits", "individual_digits": True}
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_DEEPSEEK = tuple(map(_split, (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")))

# Expressions that are known are known not to take long, whatever the text.
PIPELINES = (
    Pipeline((_DIGITS, _GPT2), "Digits(individual) and then ByteLevel(no prefix space)", "before"),
    Pipeline((_GPT2,), "ByteLevel(no prefix space) alone", "before", composes=True),
    Pipeline(
        (_split(rf"{_WORDS}|\p{{N}}|{_SIGNS}|{_BLANKS}"), _BYTES),
        "Qwen2's expression",
        "behind",
        composes=True,
    ),
    Pipeline(
        (_split(rf"{_WORDS}|\p{{N}}{{1,3}}|{_SIGNS}|{_BLANKS}"), _BYTES), "Llama 3's", "behind"
    ),
    Pipeline(
        (_split(rf"{_WORDS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_BLANKS}"), _BYTES),
        "Seed-Coder's",
        "behind",
    ),
    Pipeline((*_DEEPSEEK, _DIGITS, _BYTES), "DeepSeek-Coder's", "behind"),
    Pipeline((*_DEEPSEEK, _split(r"\p{N}"), _BYTES), "the same with digits as a Split", "behind"),
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
    kind, pieces = type(tokenizer.model).__name__, has_pieces(tokenizer)
    if kind != "BPE" and not (pieces and kind in KINDS):
        return [f"the model is {kind}, expected BPE"]
    problems = [
        f"{name} is {short(state(getattr(tokenizer, name)))}, expected none"
        for name in _ABSENT
        if getattr(tokenizer, name) is not None
    ]
    options = {**_MODEL_OPTIONS, "byte_fallback": pieces}
    for option, expected in options.items() if kind == "BPE" else ():
        value = getattr(tokenizer.model, option)
        if (value or None) != (expected or None):
            problems.append(f"{option} is {short(value)}, expected {expected}")
    if pieces:
        return [*problems, *pieces_problems(tokenizer)]
    pipeline = _pipeline(tokenizer)
    if pipeline is None:
        words = ", or ".join(pipeline.words for pipeline in PIPELINES)
        cut = short(state(tokenizer.pre_tokenizer))
        problems.append(f"pre_tokenizer is {cut}, expected {words}")
    normalizer = state(tokenizer.normalizer)
    composed = normalizer == {"type": "NFC"} and (pipeline is None or pipeline.composes)
    if normalizer is not None and not composed:
        problems.append(f"normalizer is {short(normalizer)}, expected none")
    return problems


def line_cut(tokenizer: Tokenizer) -> Cut | None:
    """Return where a tokenizer's lines may be cut; None where tokens could have blanks in them."""
    pipeline = _pipeline(tokenizer)
    pieces = has_pieces(tokenizer)
    added = tokenizer.get_added_tokens_decoder().values()
    if tokenizer.truncation or not all(token.special for token in added):
        return None
    if pieces:
        return pieces_cut(tokenizer)
    return None if pipeline is None else pipeline.cut


def splits_digits(tokenizer: Tokenizer) -> bool:
    """Return whether each digit is a word of its own."""
    pipeline = _pipeline(tokenizer)
    return pipeline is not None and pipeline.steps != (_GPT2,)


def _pipeline(tokenizer: Tokenizer) -> Pipeline | None:
    cut = state(tokenizer.pre_tokenizer)
    return next((pipeline for pipeline in PIPELINES if _cuts_so(cut, pipeline)), None)


def _cuts_so(cut: Any, pipeline: Pipeline) -> bool:
    if not isinstance(cut, dict):
        return False
    steps = cut.get("pretokenizers") if cut.get("type") == "Sequence" else [cut]
    if not isinstance(steps, list) or len(steps) != len(pipeline.steps):
        return False
    return all(
        expected.items() <= step.items()
        for step, expected in zip(steps, pipeline.steps, strict=True)
    )
