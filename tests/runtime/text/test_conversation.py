"""A conversation that outgrows the context loses its oldest exchanges."""

import pytest

from refact_edge.export.families import REFACT
from refact_edge.export.prompts import manifest_prompts
from refact_edge.export.starcoder import IDS
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.text.conversation import conversation_ids
from refact_edge.runtime.text.prompts import Layouts

LAYOUTS = Layouts.from_manifest(manifest_prompts(REFACT, IDS))
SYSTEM = {"role": "system", "content": "s"}
TALK = [
    {"role": role, "content": content * 20}
    for role, content in (("user", "a"), ("assistant", "b"), ("user", "c"))
]


def _encode(text: str) -> list[int]:
    return [100 + ord(character) for character in text]


def _ids(messages: list[dict[str, str]], limit_tokens: int) -> list[int]:
    return conversation_ids(messages, LAYOUTS, _encode, limit_tokens)


def test_what_fits_stays_whole() -> None:
    whole = LAYOUTS.chat_ids([SYSTEM, *TALK], _encode)
    assert _ids([SYSTEM, *TALK], len(whole)) == whole


def test_the_system_message_and_the_last_question_stay() -> None:
    whole = LAYOUTS.chat_ids([SYSTEM, *TALK], _encode)
    shorter = LAYOUTS.chat_ids([SYSTEM, TALK[-1]], _encode)
    assert _ids([SYSTEM, *TALK], len(whole) - 1) == shorter
    assert _ids([SYSTEM, *TALK], 1) == shorter  # nothing is left to drop


def test_a_string_is_no_conversation() -> None:
    with pytest.raises(OptionError, match="messages is a string"):
        conversation_ids("hi", LAYOUTS, _encode, 100)  # type: ignore[arg-type] # what is refused
