"""Texts that go round in circles end before they do; texts that only look like it do not."""

from __future__ import annotations

import pytest

from refact_edge.runtime.text.endings import Endings
from refact_edge.runtime.text.loops import LONGEST_CHARACTERS, LoopScanner

CALL = "\n    self.assertEqual(f(x), y)"
BLOCK = "\n    if x:\n        return first(x)\n    y = second(x)"


def _passed(text: str, size: int = 1) -> tuple[str, bool]:
    """Send a text through in pieces of `size` characters."""
    scanner = LoopScanner()
    output = ""
    for at in range(0, len(text), size):
        output += scanner.push(text[at : at + size])
        if scanner.stopped:
            return output, True
    return output + scanner.flush(), False


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("lines", [CALL, BLOCK])
def test_lines_that_go_on_and_on_stand_there_once(lines: str, size: int) -> None:
    text = "a = b" + lines
    assert _passed(text + 20 * lines, size) == (text, True)


def test_the_cursors_line_is_the_first_that_may_be_repeated() -> None:
    line = "    self.root = root"
    scanner = LoopScanner(line[:9])
    assert scanner.push(line[9:] + 9 * ("\n" + line)) == line[9:]
    assert _passed(line + 9 * ("\n" + line)) == (line, True)
    assert LoopScanner(line[:9]).push("root = root\n" + line) == "root = root"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_part_of_a_line_that_goes_on_and_on_stands_there_twice(size: int) -> None:
    assert _passed("def f(a, name" + 40 * ", module", size) == (
        "def f(a, name, module, module",
        True,
    )
    assert _passed("return y" + 40 * "_cursor", size) == ("return y_cursor_cursor", True)


@pytest.mark.parametrize(
    "text",
    [
        "a = b" + 2 * CALL + "\n    return x",
        "a = b" + 2 * BLOCK + "\n    return x",
        "f(\n        None,\n        None,\n        None)\n" * 2,
        "".join(f"\n    self.assertEqual(f({i}), y)" for i in range(40)),
        "x = [\n" + 7 * "    0, 0, 0, 0,\n" + "]",
        "x = [" + 30 * "0, " + "]",
        "a\n# " + 77 * "-" + "\n# name\n# " + 77 * "-" + "\nb",
        "{\n  {\n    {\n    }\n  }\n}\n" + 30 * "\n" + 30 * "}\n",
        "    }\n" * 6 + "x",
        "no, no, no, no, no. Yes.",
        "<td></td>" * 3 + "\n",
    ],
)
def test_what_people_repeat_stays(text: str) -> None:
    for size in (1, 7, len(text)):
        assert _passed(text, size) == (text, False)


@pytest.mark.parametrize("text", ["\n" * 300, "0" * 300, "\n#" * 300, "- " * 300])
def test_signs_without_a_word_end_too_when_there_are_many(text: str) -> None:
    output, stopped = _passed(text)
    assert stopped
    assert len(output) < 8


def test_an_indentation_alone_tells_lines_apart() -> None:
    text = "".join("\n" + "  " * depth + "for item in items:" for depth in range(12))
    assert _passed(text) == (text, False)


def test_a_loop_of_more_than_the_longest_is_not_seen() -> None:
    lines = [f"\n    name_{i} = value" for i in range(LONGEST_CHARACTERS // 20)]
    assert _passed("".join(lines) * 3) == ("".join(lines) * 3, False)
    shorter = "".join(lines[: len(lines) // 2])
    assert _passed(shorter * 4) == (shorter, True)


def test_runs_are_the_same_however_long_the_text_is() -> None:
    start = "".join(f"\nname_{i} = {i * i}" for i in range(300))
    assert len(start) > 3 * LONGEST_CHARACTERS
    assert _passed(start + "\na = b" + 9 * CALL, 5) == (start + "\na = b" + CALL, True)


def test_what_is_shown_is_never_withdrawn_and_little_is_held_back() -> None:
    source = "".join(f"\n    self.value_{i} = value_{i}" for i in range(60))
    scanner, shown, held = LoopScanner(), "", []
    for at, sign in enumerate(source):
        shown += scanner.push(sign)
        assert source.startswith(shown)
        held.append(at + 1 - len(shown))
    assert max(held) <= len("\n    self.value_59")
    assert shown + scanner.flush() == source


def test_all_usual_rules_look_for_loops() -> None:
    assert any(isinstance(one, LoopScanner) for one in Endings().scanners("", ""))
    assert not any(isinstance(one, LoopScanner) for one in Endings(loop=False).scanners("", ""))
