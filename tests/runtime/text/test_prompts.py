"""Prompt layouts: the ids around the user's text."""

import pytest

from refact_edge.export.families import CODELLAMA, REFACT, REPLIT
from refact_edge.export.prompts import manifest_prompts
from refact_edge.export.starcoder import IDS
from refact_edge.runtime.errors import BundleError, OptionError
from refact_edge.runtime.text.prompts import Layouts

LAYOUTS = Layouts.from_manifest(manifest_prompts(REFACT, IDS))


def _encode(text: str) -> list[int]:
    return [100 + ord(character) for character in text]


def _written(ids: list[int]) -> str:
    return "".join(f"<{i}>" if i < 100 else chr(i - 100) for i in ids)


def test_spm_puts_the_suffix_first_and_psm_the_prefix() -> None:
    assert LAYOUTS.fim_default == "spm"
    assert LAYOUTS.fim_ids("spm", [7], [8]) == [3, 8, 1, 7, 2]
    assert LAYOUTS.fim_ids("psm", [7], [8]) == [1, 7, 3, 8, 2]
    assert LAYOUTS.fim_overhead("spm") == 3
    with pytest.raises(OptionError, match="order 'smp'; expected one of: spm, psm"):
        LAYOUTS.fim_ids("smp", [], [])


def test_a_text_alone_stands_behind_what_every_prompt_begins_with() -> None:
    ids = {token: place for place, token in enumerate(CODELLAMA.tokens)}
    layouts = Layouts.from_manifest(manifest_prompts(CODELLAMA, ids, before_text=" "))
    start = ids["<s>"]
    assert layouts.text_ids("ab", _encode) == [start, *_encode(" ab")]
    assert layouts.text_ids("", _encode) == []

    def with_specials(text: str) -> list[int]:
        return [start, *_encode(text[3:])] if text.startswith("<s>") else _encode(text)

    assert layouts.text_ids("<s>ab", with_specials) == [start, *_encode("ab")]
    assert LAYOUTS.text_ids("ab", _encode) == _encode("ab")


def test_how_a_model_is_asked_is_told_in_words() -> None:
    assert LAYOUTS.in_words() == "holes spm, psm; chat"
    ids = {token: place for place, token in enumerate(REPLIT.tokens)}
    plain = Layouts.from_manifest(manifest_prompts(REPLIT, ids))
    assert plain.in_words() == "no holes, text goes on from the prefix; no chat"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tags": ["x"]}, "a tag that no blank would break"),
        ({"tags": ["xy"] * 70}, "70 tags"),
        ({"in_question": 5}, "5 is no text"),
        ({"system_rule": "never"}, "system_rule 'never'"),
    ],
)
def test_a_chat_that_is_none_is_refused(changes: dict[str, object], complaint: str) -> None:
    prompts = manifest_prompts(REFACT, IDS)
    with pytest.raises(BundleError, match=complaint):
        Layouts.from_manifest({**prompts, "chat": {**prompts["chat"], **changes}})


def test_bundles_of_before_lack_what_came_later() -> None:
    prompts = manifest_prompts(REFACT, IDS)
    del prompts["fim"]["before_prefix"], prompts["chat"]["tags"], prompts["chat"]["in_question"]
    assert Layouts.from_manifest(prompts) == LAYOUTS


def test_a_single_question_gets_the_default_system_line() -> None:
    ids = LAYOUTS.chat_ids([{"role": "user", "content": " hi \n"}], _encode)
    assert _written(ids) == (
        "<14>SYSTEM You are a programming assistant\n<14>USER hi\n<14>ASSISTANT"
    )


def test_a_longer_talk_has_no_system_line_unless_one_is_given() -> None:
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": ""},
        {"role": "user", "content": "c"},
    ]
    expected = "<14>USER a\n<14>ASSISTANT b\n<14>USER c\n<14>ASSISTANT"
    assert _written(LAYOUTS.chat_ids(talk, _encode)) == expected
    value = [{"role": "system", "content": "s"}, *talk]
    assert _written(LAYOUTS.chat_ids(value, _encode)) == "<14>SYSTEM s\n" + expected


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "last message is empty"),
        ([{"role": "user", "content": "  "}], "last message is empty"),
        ([{"role": "assistant", "content": ""}], "last message is empty"),
        ([{"role": "assistant", "content": "x"}, {"role": "user", "content": ""}], "is empty"),
        ([{"role": "robot", "content": "x"}], "role 'robot'; expected one of"),
    ],
)
def test_a_talk_that_asks_nothing_is_refused(
    messages: list[dict[str, str]], complaint: str
) -> None:
    with pytest.raises(OptionError, match=complaint):
        LAYOUTS.chat_ids(messages, _encode)


def test_an_answer_that_has_begun_goes_on() -> None:
    talk = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "\nb {}: \n "}]
    begun = "<14>USER a\n<14>ASSISTANT b {}: \n "
    default = "<14>SYSTEM You are a programming assistant\n"
    assert _written(LAYOUTS.chat_ids(talk, _encode)) == default + begun
    assert _written(LAYOUTS.chat_ids(talk[1:], _encode)) == default + "<14>ASSISTANT b {}: \n "
    longer = [{"role": "system", "content": "s"}, *talk]
    assert _written(LAYOUTS.chat_ids(longer, _encode)) == "<14>SYSTEM s\n" + begun
    empty = [talk[0], {"role": "assistant", "content": " "}]
    assert LAYOUTS.chat_ids(empty, _encode) == LAYOUTS.chat_ids(talk[:1], _encode)


def test_a_system_line_alone_is_answered() -> None:
    ids = LAYOUTS.chat_ids([{"role": "system", "content": "s"}], _encode)
    assert _written(ids) == "<14>SYSTEM s\n<14>ASSISTANT"


def test_braces_in_user_text_are_only_text() -> None:
    ids = LAYOUTS.chat_ids([{"role": "user", "content": "{} {0}"}], _encode)
    assert "USER {} {0}\n" in _written(ids)


def test_a_damaged_manifest_is_named() -> None:
    with pytest.raises(BundleError, match="prompt layouts are unusable"):
        Layouts.from_manifest({"fim": {}})
