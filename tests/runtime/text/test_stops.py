"""Stop strings across the borders of pieces, and the ends of chat answers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.text.stops import AnswerTrimmer, StopScanner


def _run(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    scanner = StopScanner(stops)
    text = ""
    for piece in pieces:
        text += scanner.push(piece)
        if scanner.stopped:
            return text, True
    return text + scanner.flush(), False


def test_a_stop_string_is_found_across_pieces() -> None:
    assert _run(["ab", "c\n", "\ndef"], ["\n\n"]) == ("abc", True)


def test_text_that_only_looked_like_a_stop_is_shown_in_the_end() -> None:
    assert _run(["ab\n"], ["\n\n"]) == ("ab\n", False)


def test_the_earliest_of_several_wins() -> None:
    assert _run(["one two three"], ["three", "two"]) == ("one ", True)


@given(
    text=st.text(alphabet="ab\n", max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=8),
    stops=st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), max_size=3),
)
def test_how_the_text_is_cut_changes_nothing(text: str, cuts: list[int], stops: list[str]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    results = [text.find(stop) for stop in stops if stop in text]
    # A stop that ends earlier is seen first, even when another one begins before it.
    output, stopped = _run(list(text), stops)
    assert stopped == bool(results)
    assert text.startswith(output)
    if len(stops) <= 1:
        assert _run(pieces, stops) == (text[: min(results)] if results else text, bool(results))


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(OptionError, match="stop string is empty"):
        StopScanner([""])


def test_an_answer_loses_its_first_space_and_its_last_line_ends() -> None:
    trimmer = AnswerTrimmer()
    assert [trimmer.push(piece) for piece in (" ", " yes\n", "\nno\n")] == ["", " yes", "\n\nno"]


def test_the_string_that_was_found_is_known() -> None:
    scanner = StopScanner(["]]", "\n\n"])
    assert scanner.push("a]") + scanner.push("]b") == "a"
    assert scanner.match == "]]"
    assert StopScanner(["x"]).match == ""
