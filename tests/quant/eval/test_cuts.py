"""Where a completion ends."""

import pytest

from refact_edge.quant.eval.cuts import CODE, LINE, OWN, apply, infilling_cut, is_complete


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\n    return 1\n\ndef other():\n", "\n    return 1\n"),
        ("\n    return 1\nclass A:\ndef f():", "\n    return 1"),
        ("\n    return 1\nprint(f())\n", "\n    return 1"),
        ("\n    return 1\n# Example\n", "\n    return 1"),
        ("\n    return 1\nif __name__", "\n    return 1"),
        ("\n    # a comment that is indented\n    return 1\n", None),
        ("\nx = 1\n", None),
        ("", None),
    ],
)
def test_code_ends_before_what_begins_at_the_margin(text: str, left: str | None) -> None:
    assert apply(text, CODE) == (text if left is None else left)
    assert is_complete(text, CODE) == (left is not None)


@pytest.mark.parametrize(
    ("text", "left", "complete"),
    [
        ("    x = 1\n    y = 2\n", "    x = 1\n", True),
        ("\n\n    x = 1\n    y = 2\n", "\n\n    x = 1\n", True),
        ("  \n    x = 1\n", "  \n    x = 1\n", True),
        ("    x = 1", "    x = 1\n", False),
        ("\n\n", "\n\n", False),
        ("", "", False),
    ],
)
def test_a_line_ends_after_the_first_that_says_something(
    text: str, left: str, complete: bool
) -> None:
    assert apply(text, LINE) == left
    assert is_complete(text, LINE) == complete


def test_any_other_answer_ends_where_the_model_ends_it() -> None:
    assert apply("\ndef f():\n", OWN) == "\ndef f():\n"
    assert not is_complete("\ndef f():\n", OWN)


def test_single_line_benchmarks_are_known_by_their_task_ids() -> None:
    assert infilling_cut("SingleLineInfilling/HumanEval/0/L0") == LINE
    assert infilling_cut("RandomSpanInfillingLight/HumanEval/0/1") == OWN
