"""Rules that end a completion: with its block, or where it repeats what follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import SIZES, CountingSession

import refact_edge
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.text.endings import NO_ENDINGS, Endings, LineClock

BODY = "def f(x):\n    "


def _passed(text: str, prefix: str, suffix: str = "", size: int = 1, **rules: Any) -> str:
    """Send a text through the rules in pieces of `size` characters."""
    scanner = Endings(**rules).scanner(prefix, suffix)
    output = ""
    for at in range(0, len(text), size):
        output += scanner.push(text[at : at + size])
        if scanner.stopped:
            return output
    return output + scanner.flush()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_code_ends_before_a_fence_in_files_that_have_none(size: int) -> None:
    text = "return a + b\n    ```\n\nThis code"
    assert _passed(text, BODY, size=size) == "return a + b"
    assert _passed("x = '```'\n`y`\n", BODY, size=size) == "x = '```'\n`y`\n"
    assert _passed(text, "```python\n" + BODY, size=size) == text
    assert _passed(text, BODY, "\n```\n", size=size) == text
    assert _passed(text, BODY, size=size, fence=False) == text


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_block_ends_before_a_line_indented_less(size: int) -> None:
    text = "y = x\n    return y\n\n\ndef g():\n    pass"
    assert _passed(text, BODY, size=size, block=True) == "y = x\n    return y\n\n"
    assert _passed(text, BODY, size=size) == text
    deeper = "if x:\n        return 1\n    return 0"
    assert _passed(deeper, BODY, size=size, block=True) == deeper
    assert (
        _passed("a\nb", "", size=size, block=True) == "a\nb"
    )  # nothing is indented less than nothing


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_text_ends_before_it_repeats_the_line_after_the_cursor(size: int) -> None:
    suffix = "\n\n    return total\n"
    text = "total = x\n    return total\n    more"
    assert _passed(text, BODY, suffix, size) == "total = x"
    assert _passed("total = x\n    return total", BODY, suffix, size) == "total = x"
    assert _passed(text, BODY, suffix, size, repeat=False) == text
    longer = "total = x\n    return total + 1"
    assert _passed(longer, BODY, suffix, size) == longer
    assert _passed("return total", BODY, suffix, size) == ""
    assert _passed("turn total\n", BODY + "re", suffix, size) == ""


def test_a_line_that_says_nothing_may_be_repeated() -> None:
    text = "    x\n    }\n  }"
    assert _passed(text, "    {\n", "\n    }\n", block=True) == text


def test_what_is_shown_is_the_start_of_the_text_and_what_is_held_comes_out_in_the_end() -> None:
    for text in ("", "\n", "\n  ", "a\n    \n", "\n\n", "a\n    re"):
        for block in (False, True):
            assert _passed(text, BODY, "\n    return total", block=block) == text


def test_the_rest_of_the_cursors_own_line_is_not_what_follows() -> None:
    assert _passed("value)", "f(", "value)\nvalue)\n") == "value)"
    assert _passed("first)", "f(", "first)\nother(x)\n") == "first)"


def test_an_unsure_token_ends_the_text() -> None:
    session = CountingSession()  # the first choice has e^5 against e^4 and 30 times 1: 0.637

    def write(least: float) -> Generation:
        request = Request([3], GREEDY, 4, frozenset({0}), least_probability=least)
        list(generation := Generation(session, PrefixCache(session.new_cache), request))
        return generation

    assert SIZES.tokens == 32
    assert (write(0.63).new_ids, write(0.63).finish) == ([4, 5, 6, 7], "length")
    assert (write(0.64).new_ids, write(0.64).finish) == ([], "unsure")
    with pytest.raises(OptionError, match=r"least_probability 1; expected 0 or more and under 1"):
        Endings(least_probability=1)


def test_a_completion_follows_the_rules(demo_bundle: Path) -> None:
    model = refact_edge.load(demo_bundle)
    before = "class A:\n    def f(self):\n        "
    options: dict[str, Any] = {"max_tokens": 60, "stop": (), "sampling": GREEDY}
    free = model.complete(before, "", endings=NO_ENDINGS, **options)
    text = "".join(free)
    stream = model.complete(before, "", endings=Endings(block=True), **options)
    held = "".join(stream)
    outer = [line for line in text.split("\n")[1:] if line.strip() and not line.startswith(" " * 8)]
    assert outer, "the demo model is expected to go on with another method here"
    assert held == text[: text.index("\n" + outer[0])]
    assert stream.finish == "stop"


@pytest.mark.parametrize("size", [1, 100])
def test_a_least_indent_counts_in_place_of_the_cursors(size: int) -> None:
    text = "y = x\n  z = 1\nw = 2"
    output = "y = x\n  z = 1"
    assert _passed(text, BODY, size=size, least_indent=1) == output
    assert _passed(text, BODY, size=size, least_indent=0) == text
    assert _passed(text, BODY, size=size, least_indent=4) == "y = x"


def test_late_lines_are_left_out_and_the_first_is_always_whole() -> None:
    now = [0.0]
    clock = LineClock(100, lambda: now[0])
    text = clock.push("a = ")
    now[0] = 0.2
    text += clock.push("b")
    assert not clock.stopped
    text += clock.push(" + c\nd = 1")
    assert (text + clock.flush(), clock.stopped) == ("a = b + c", True)
    early = LineClock(100, lambda: 5.0)
    assert early.push("a\nb\n") == "a\nb\n"
    assert not early.stopped


def test_what_goes_round_in_circles_ends_in_completions_and_in_chat(demo_bundle: Path) -> None:
    model = refact_edge.load(demo_bundle)
    before = "    raise ImportError(msg, name=name)\n\n\ndef _load_module(name, module,"
    options: dict[str, Any] = {"max_tokens": 120, "sampling": GREEDY}
    free = "".join(model.complete(before, endings=NO_ENDINGS, **options))
    assert free.count(" module,") > 9, "the demo model is expected to loop here"
    stream = model.complete(before, **options)
    assert free.startswith(text := "".join(stream))
    assert (text, stream.finish, stream.cut) == (" module", "stop", True)
    question = [{"role": "user", "content": "Repeat."}, {"role": "assistant", "content": before}]
    free = "".join(model.chat(question, loop=False, **options))
    answer = "".join(model.chat(question, **options))
    assert free.count(" module,") > 9, "and in an answer that has begun like this"
    assert free.startswith(answer)
    assert answer.count(" module") == 2  # the line before an answer is not looked at
