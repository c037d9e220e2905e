"""Which lines around the cursor stay when a file is too long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refact_edge.runtime.text.trim import STEP_LINES, trim


def _encode(text: str) -> list[int]:
    """One id a character: budgets are then easy to see."""
    return [ord(character) for character in text]


def _text(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def _lines(count: int, label: str) -> str:
    return "".join(f"{label}{i:05}\n" for i in range(count))  # 7 characters a line


def test_a_text_that_fits_is_kept_whole() -> None:
    prefix, suffix = trim("a\nb", "\nc\n", 100, _encode)
    assert (_text(prefix), _text(suffix)) == ("a\nb", "\nc\n")


def test_what_stands_before_a_prefix_is_encoded_with_what_stays_of_it() -> None:
    prefix = "".join(f"line {i}\n" for i in range(300))
    whole, _ = trim("ab", "", 10, _encode, before="_")
    assert whole == _encode("_ab")
    part, _ = trim(prefix, "", 200, _encode, before="_")
    assert part[: len(_encode("_line"))] == _encode("_line")
    assert len(part) <= 200
    assert trim("", "x", 10, _encode, before="_")[0] == []


def test_lines_stay_around_the_cursor_on_both_sides() -> None:
    prefix, suffix = trim(_lines(500, "a") + "x = ", "\n" + _lines(500, "b"), 2000, _encode)
    assert _text(prefix).endswith("a00499\nx = ")
    assert _text(suffix).startswith("\nb00000\n")
    assert len(prefix) + len(suffix) <= 2000
    assert abs(len(prefix) - len(suffix)) <= 2 * max(STEP_LINES) * 7


def test_the_cut_points_stay_put_while_one_types() -> None:
    above, below = _lines(500, "a"), "\n" + _lines(500, "b")
    starts, suffixes = set(), set()
    typed = "result = compute(value)"
    for count in range(len(typed)):
        prefix, suffix = trim(above + typed[:count], below, 2000, _encode)
        starts.add(_text(prefix)[:6])
        suffixes.add(_text(suffix))
    assert len(starts) == 1
    assert len(suffixes) == 1


@pytest.mark.parametrize(("budget", "step"), [(4000, 32), (1000, 16), (500, 8), (100, 4)])
def test_steps_above_begin_at_multiples_of_some_lines_fewer_for_small_budgets(
    budget: int, step: int
) -> None:
    starts = {
        int(_text(trim(_lines(900 + more, "a"), "", budget, _encode)[0])[1:6]) for more in range(64)
    }
    assert all(start % step == 0 for start in starts)
    assert len(starts) == 64 // step + 1 or len(starts) == 64 // step


def test_little_is_left_unused_of_a_small_budget() -> None:
    for lines in range(100, 132):
        prefix, _ = trim(_lines(lines, "a"), "", 200, _encode)
        assert len(prefix) > 100


def test_a_line_too_long_by_itself_keeps_its_end() -> None:
    line = "".join(chr(ord("a") + i % 26) for i in range(5000))
    prefix, suffix = trim(line, "z" * 5000, 1000, _encode)
    assert line.endswith(_text(prefix))
    assert 500 < len(prefix) <= 750
    assert 750 < len(prefix) + len(suffix) <= 1000


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("x = ", "z" * 5000), ("", "z" * 5000), ("", ("y" * 100 + "\n") * 40), ("p" * 5000, "\nq\n")],
)
def test_a_long_step_beside_a_short_side_fills_what_is_left(prefix: str, suffix: str) -> None:
    before, after = trim(prefix, suffix, 1000, _encode)
    assert 750 <= len(before) + len(after) <= 1000
    assert prefix.endswith(_text(before))
    assert suffix.startswith(_text(after))
    assert bool(before) == bool(prefix)
    assert after


def test_an_empty_prefix_leaves_the_budget_to_the_suffix() -> None:
    prefix, suffix = trim("", _lines(500, "b"), 1000, _encode)
    assert prefix == []
    assert _text(suffix).startswith("b00000\n")
    assert len(suffix) > 500


@settings(max_examples=200, deadline=None)
@given(
    prefix=st.text(alphabet="ab\n", max_size=400),
    suffix=st.text(alphabet="ab\n", max_size=400),
    budget=st.integers(-5, 500),
)
def test_the_budget_always_holds_and_the_cursor_stays_in_place(
    prefix: str, suffix: str, budget: int
) -> None:
    before, after = trim(prefix, suffix, budget, _encode)
    assert len(before) + len(after) <= max(0, budget)
    assert prefix.endswith(_text(before))
    assert suffix.startswith(_text(after))
    if len(prefix) + len(suffix) <= budget:
        assert (_text(before), _text(after)) == (prefix, suffix)


@pytest.mark.parametrize("budget", [1, 3, 10])
def test_tiny_budgets_keep_what_stands_at_the_cursor(budget: int) -> None:
    before, _ = trim("abcdefghijklmnop", "", budget, _encode)
    assert _text(before) == "abcdefghijklmnop"[-budget:]
