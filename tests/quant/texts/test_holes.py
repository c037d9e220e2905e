"""Holes in source files: of the kind that was asked for, spread, and the same for one seed."""

from collections import Counter

import pytest

from refact_edge.quant.texts.holes import LONGEST_CHARACTERS, cut_holes, fingerprint
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.errors import EvalError, OptionError

PYTHON = "".join(
    f"def name_{i}(value):\n    total = value + {i}\n\n    return total * {i}\n\n\n"
    for i in range(30)
)
BRACES = "".join(
    f"function name{i}(value) {{\n    if (value) {{\n        return {i};\n    }}\n}}\n\n"
    for i in range(30)
)
FILES = [Source("a.py", PYTHON), Source("b.js", BRACES), Source("c.py", PYTHON)]
KINDS = ("line", "span", "body")


def test_a_hole_and_its_sides_are_the_file() -> None:
    texts = {file.name: file.text for file in FILES}
    holes = cut_holes(FILES, KINDS, 60, 0)
    assert len({hole.name for hole in holes}) == 60
    for hole in holes:
        assert hole.prefix + hole.middle + hole.suffix == texts[hole.file]
        assert hole.prefix.strip()
        assert hole.suffix.strip()
        assert 2 <= len(hole.middle) <= LONGEST_CHARACTERS[hole.kind]
        assert hole.name == f"{hole.file}:{hole.kind}:{len(hole.prefix)}+{len(hole.middle)}"


def test_holes_are_spread_over_kinds_and_files() -> None:
    holes = cut_holes(FILES, KINDS, 61, 0)
    assert Counter(hole.kind for hole in holes) == {"line": 21, "span": 20, "body": 20}
    by_file = Counter(hole.file for hole in holes)
    assert min(by_file.values()) >= 15


def test_one_seed_cuts_the_same_holes_and_another_others() -> None:
    first, again, other = (cut_holes(FILES, KINDS, 30, seed) for seed in (3, 3, 4))
    assert first == again
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)


def test_a_line_is_whole_behind_its_indent() -> None:
    for hole in cut_holes(FILES, ["line"], 30, 0):
        assert "\n" not in hole.middle
        assert hole.middle == hole.middle.strip()
        assert not hole.prefix.rpartition("\n")[2].strip()
        assert hole.suffix.startswith("\n")


def test_a_body_is_what_is_indented_below_its_opening() -> None:
    bodies = {hole.middle for hole in cut_holes(FILES, ["body"], 60, 0)}
    whole = {f"total = value + {i}\n\n    return total * {i}" for i in range(30)}
    outer = {f"if (value) {{\n        return {i};\n    }}" for i in range(30)}
    inner = {f"return {i};" for i in range(30)}
    assert bodies <= whole | outer | inner
    assert bodies & whole
    assert bodies & outer
    assert bodies & inner


def test_fewer_places_than_asked_for_give_fewer_holes() -> None:
    only = [Source("a.py", "import os\nname = os.sep\nprint(name)\n")]
    holes = cut_holes(only, ["line"], 50, 0)
    assert [hole.middle for hole in holes] == ["name = os.sep"]


@pytest.mark.parametrize(
    ("kinds", "count", "complaint"),
    [
        (["row"], 9, "kinds row; expected some of: line, span, body"),
        ([], 9, "kinds none; expected some of"),
        (KINDS, 2, "holes 2; expected at least one of each kind: 3"),
        (["line"], 0, "holes 0; expected at least one"),
    ],
)
def test_holes_that_make_no_sense_are_refused(kinds: list[str], count: int, complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint):
        cut_holes(FILES, kinds, count, 0)


def test_files_without_such_a_place_are_refused() -> None:
    with pytest.raises(EvalError, match="no place for a hole of these kinds"):
        cut_holes([Source("a.py", "aa\n1\n2\n3\nbb\n")], ["body"], 3, 0)
