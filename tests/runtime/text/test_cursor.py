"""The place of the cursor in a text."""

import pytest

from refact_edge.runtime.errors import OptionError, PromptError
from refact_edge.runtime.text.cursor import decode_text, split_at, split_marker

TEXT = "ab\ncdé\n"


@pytest.mark.parametrize(
    ("line", "column", "before"),
    [(1, 1, ""), (1, 3, "ab"), (2, 1, "ab\n"), (2, 4, "ab\ncdé"), (3, 1, TEXT)],
)
def test_line_and_column_count_from_one_in_characters(line: int, column: int, before: str) -> None:
    assert split_at(TEXT, line, column, "f") == (before, TEXT[len(before) :])


@pytest.mark.parametrize(
    ("line", "column", "complaint"),
    [
        (0, 1, "line 0 is outside f; expected 1 to 3"),
        (4, 1, "line 4 is outside f; expected 1 to 3"),
        (2, 0, "column 0 is outside line 2 of f; expected 1 to 4"),
        (2, 5, "column 5 is outside line 2 of f; expected 1 to 4"),
    ],
)
def test_a_cursor_outside_the_file_is_refused(line: int, column: int, complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint):
        split_at(TEXT, line, column, "f")


def test_the_end_of_a_crlf_line_is_before_its_return() -> None:
    assert split_at("ab\r\nc", 1, 3, "f") == ("ab", "\r\nc")
    with pytest.raises(PromptError, match="column 4"):
        split_at("ab\r\nc", 1, 4, "f")


def test_the_marker_must_stand_there_once() -> None:
    assert split_marker("a<CURSOR>b", "<CURSOR>", "text") == ("a", "b")
    with pytest.raises(PromptError, match="text holds <CURSOR> 0 times; expected it once"):
        split_marker("ab", "<CURSOR>", "text")
    with pytest.raises(PromptError, match="2 times"):
        split_marker("a|b|", "|", "text")
    with pytest.raises(OptionError, match="marker is empty"):
        split_marker("ab", "", "text")


def test_invalid_utf8_is_refused_with_its_place() -> None:
    with pytest.raises(PromptError, match="f is not UTF-8: byte 0xff at offset 2"):
        decode_text(b"ab\xff", "f")


def test_a_byte_order_mark_is_no_character() -> None:
    assert decode_text(b"\xef\xbb\xbfab", "f") == "ab"
