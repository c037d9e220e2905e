"""Pieces of a text on their way through what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from refact_edge.runtime.stream import Stream
from refact_edge.runtime.text.endings import Endings
from refact_edge.runtime.text.loops import LoopScanner
from refact_edge.runtime.text.stops import Scanner, StopScanner

LOOP = "\n    self.root = self.root"


class Written:
    """A generation whose ids are the characters of a text."""

    def __init__(self, text: str) -> None:
        self.text, self.finish = text, ""

    def __iter__(self) -> Iterator[int]:
        for sign in self.text:
            yield ord(sign)
        self.finish = "length"


class Letters:
    """A decoder of these ids."""

    def push(self, new_id: int) -> str:
        return chr(new_id)


def _stream(text: str, scanners: list[Scanner]) -> Stream:
    written: Any = Written(text)
    letters: Any = Letters()
    return Stream(written, letters, scanners)


@pytest.mark.parametrize("line", ["return", "return total +"])
def test_a_stop_string_ends_a_text_and_not_what_was_held_back_of_it(line: str) -> None:
    scanners = Endings().scanners("def f():\n    ", "\n    return total + 1\n")
    stream = _stream(f"x = 1\n    {line}\n\nmore", [StopScanner(["\n\n"]), *scanners])
    assert "".join(stream) == f"x = 1\n    {line}"
    assert (stream.finish, stream.stop_text) == ("stop", "\n\n")


def test_two_lines_alike_before_a_stop_string_are_both_there() -> None:
    stream = _stream("a" + 2 * LOOP + "\n\n", [StopScanner(["\n\n"]), LoopScanner()])
    assert "".join(stream) == "a" + 2 * LOOP


def test_a_text_that_goes_round_in_circles_ends_by_itself_and_none_of_it_is_shown() -> None:
    stream = _stream("a" + 50 * LOOP, [StopScanner([]), LoopScanner()])
    assert "".join(stream) == "a" + LOOP == stream.text
    assert (stream.finish, stream.cut, stream.stop_text) == ("stop", True, "")


def test_what_no_rule_ends_is_whole_at_the_end() -> None:
    text = "a" + 2 * LOOP
    stream = _stream(text, [StopScanner([]), *Endings().scanners("", "")])
    assert ("".join(stream), stream.finish) == (text, "length")
