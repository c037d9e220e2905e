"""Settings of an editor: what is wrong with them is named, and the others hold."""

from __future__ import annotations

import pytest

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.serve.lsp.preferences import Preferences


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"maxtokens": 3}, "unknown 'maxtokens', expected one of enabled, maxTokens"),
        ({"temperature": "hot"}, "temperature 'hot', expected a number from 0 to 2"),
        ({"enabled": 1}, "enabled 1, expected true or false"),
        ({"maxTokens": True}, "maxTokens True, expected a whole number"),
        ({"lines": "some"}, "lines 'some', expected auto or one or many"),
        ({"lines": ["one"]}, "lines ['one'], expected auto or one or many"),
        ({"totalMs": 1e999}, "totalMs inf, expected a number from 0"),
        ({"openFiles": "\x1b[2J\u202e"}, "openFiles '\\x1b[2J\\u202e', expected a whole number"),
    ],
)
def test_what_is_wrong_with_settings_is_named_and_the_others_hold(
    value: dict[str, object], message: str
) -> None:
    preferences, wrong = Preferences.from_json({"readAhead": False, **value, "totalMs ": 1})
    assert preferences == Preferences(read_ahead=False)
    assert [message in wrong[0], "unknown 'totalMs '" in wrong[1], len(wrong)] == [True, True, 2]


def test_an_empty_list_is_taken_for_an_empty_object() -> None:
    assert Preferences.from_json([]) == Preferences.from_json({}) == (Preferences(), [])


@pytest.mark.parametrize("value", [3, [3], "maxTokens"])
def test_settings_that_are_no_object_are_refused(value: object) -> None:
    with pytest.raises(OptionError, match="expected an object"):
        Preferences.from_json(value)
