"""Encoding line by line gives what encoding at once gives, sooner."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from refact_edge.export.fabricate import made_up_tokenizer
from refact_edge.runtime.text.lines import LONGEST, Lines, cut_before, cut_behind
from refact_edge.runtime.text.pipelines import PIPELINES, Pipeline, line_cut

Changed = Callable[[Tokenizer], Any]


def _encode(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module")
def trained(demo_checkpoint: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(demo_checkpoint / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.fixture(scope="module")
def original(shared_data: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(shared_data / "refact-tokenizer" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


# Signs that rules for cutting words treat in their own ways, and some that look like line ends.
SIGNS = "ab1 \n\t\r\n\x0b\x1c\x85\xa0\u2028'._éß字。\u200b\u180e"


@settings(max_examples=500, deadline=None)
@given(text=st.text(SIGNS) | st.text())
def test_the_ids_of_a_text_are_those_of_its_lines(trained: Tokenizer, text: str) -> None:
    assert Lines(_encode(trained), "before").encode(text) == _encode(trained)(text)


@settings(max_examples=300, deadline=None)
@given(text=st.text(SIGNS))
def test_the_ids_are_the_same_with_the_original_tokenizer(original: Tokenizer, text: str) -> None:
    assert line_cut(original) == "before"
    assert Lines(_encode(original), "before").encode(text) == _encode(original)(text)


def test_real_code_has_the_same_ids(trained: Tokenizer, root: Path) -> None:
    text = (root / "runtime" / "model.py").read_text()
    assert Lines(_encode(trained), "before").encode(text) == _encode(trained)(text)


def test_a_text_is_cut_before_line_ends_behind_printable_signs_only() -> None:
    assert list(cut_before("a\n\n  b;\n字\n \nc\n")) == ["a", "\n\n  b;", "\n字", "\n \nc", "\n"]
    assert list(cut_before("")) == []


def test_a_text_is_cut_behind_line_ends_that_a_line_with_a_sign_follows() -> None:
    assert list(cut_behind("a;\n\n  b\n \n字\n\rx\n ")) == ["a;\n\n", "  b\n \n", "字\n\rx\n", " "]
    assert list(cut_behind("a\n")) == ["a\n"]
    assert list(cut_behind("")) == []


def _pipeline_of(pipeline: Pipeline, trained: Tokenizer) -> Tokenizer:
    """Return the demo's merges behind another way to cut words."""
    content = json.loads(trained.to_str())
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"trim_offsets": True, **step} if step["type"] == "ByteLevel" else step
        for step in pipeline.steps
    ]}  # fmt: skip
    content["normalizer"] = {"type": "NFC"} if pipeline.composes else None
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda pipeline: pipeline.words)
def test_every_known_pipeline_has_the_ids_of_its_lines(
    pipeline: Pipeline, trained: Tokenizer, root: Path
) -> None:
    tokenizer = _pipeline_of(pipeline, trained)
    assert line_cut(tokenizer) == pipeline.cut
    lines, encode = Lines(_encode(tokenizer), pipeline.cut), _encode(tokenizer)

    @settings(max_examples=200, deadline=None)
    @given(text=st.text(SIGNS + ")({;\u0301") | st.text())
    def check(text: str) -> None:
        assert lines.encode(text) == encode(text)

    check()
    code = (root / "runtime" / "model.py").read_text()
    assert lines.encode(code) == encode(code)


def test_only_the_line_that_changed_is_encoded_again() -> None:
    calls = []

    def encode(text: str) -> list[int]:
        calls.append(text)
        return [len(text)]

    lines = Lines(encode, "before")
    lines.encode("one\ntwo\nthree")
    calls.clear()
    assert lines.encode("one\ntwo!\nthree") == [3, 5, 6]
    assert calls == ["\ntwo!"]


def test_very_long_lines_are_not_kept() -> None:
    calls = []

    def encode(text: str) -> list[int]:
        calls.append(text)
        return [1]

    lines = Lines(encode, "before")
    lines.encode("x" * (LONGEST + 1))
    lines.encode("x" * (LONGEST + 1))
    assert len(calls) == 2


def _without_words(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _with_a_blank_before(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def _with_another_rule(tokenizer: Tokenizer) -> None:
    # As in newer models: line ends stay with the signs before them.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(r"[^\s\w]+[\r\n]*|\s+|\w+", "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _with_a_token_over_lines(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens([AddedToken(";\n", normalized=False)])


@pytest.mark.parametrize(
    "change",
    [
        _without_words,
        _with_a_blank_before,
        _with_another_rule,
        _with_a_token_over_lines,
    ],
)
def test_a_tokenizer_that_may_join_lines_is_not_cut(change: Changed) -> None:
    tokenizer = Tokenizer.from_str(json.dumps(made_up_tokenizer(420)))
    assert line_cut(tokenizer) == "before"
    change(tokenizer)
    assert line_cut(tokenizer) is None
