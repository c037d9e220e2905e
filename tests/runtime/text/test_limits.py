"""Where a completion ends: which strings are stops."""

import pytest

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.text.limits import Limits


def test_without_stop_strings_a_blank_line_ends_the_text() -> None:
    assert Limits().stops(multiline=True) == ("\n\n",)
    assert Limits(stop=()).stops(multiline=True) == ()
    assert Limits(stop=["x"]).stops(multiline=True) == ("x",)


def test_a_single_line_ends_at_its_end_too() -> None:
    assert Limits().stops(multiline=False) == ("\n",)
    assert Limits(stop=["x"]).stops(multiline=False) == ("\n", "x")


def test_stop_strings_have_the_line_ends_that_the_model_has_seen() -> None:
    assert Limits(stop=["\r\n#"]).stops(multiline=True) == ("\n#",)


def test_one_string_is_no_list_of_stops() -> None:
    with pytest.raises(OptionError, match="stop 'abc' is a string; expected a list of strings"):
        Limits(stop="abc")
