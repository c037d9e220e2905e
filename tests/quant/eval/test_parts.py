"""Parts of a run on several machines: merged they are the run in one piece."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refact_edge.quant.eval.parts import Part, merged, part_settings, read_part
from refact_edge.quant.eval.results import Record, Results, read_results, write_results
from refact_edge.runtime.errors import EvalError, OptionError

COMMON: Mapping[str, Any] = {"kind": "samples", "benchmark": "HumanEval", "variant": "int4"}
PROBLEMS, SAMPLES = 7, 2
PUBLISHED = {1: 32.0}


def _records(problems: range) -> list[Record]:
    return [
        {"task_id": f"HumanEval/{problem}", "sample": sample, "completion": f"{problem}.{sample}"}
        for problem in problems
        for sample in range(SAMPLES)
    ]


def _part(number: int, of: int = 3, **changes: Any) -> Results:
    own = part_settings(f"{number}/{of}", PROBLEMS, SAMPLES, PUBLISHED)
    settings = {**COMMON, **own, **changes}
    return Results(settings, _records(range(number - 1, PROBLEMS, of)))


def test_parts_in_any_order_are_the_run_in_one_piece(tmp_path: Path) -> None:
    whole, published = merged({"c": _part(3), "a": _part(1), "b": _part(2)})
    assert published == PUBLISHED
    assert (whole.settings, whole.records) == (COMMON, _records(range(PROBLEMS)))
    write_results(tmp_path / "whole.jsonl", whole)
    again = read_results(tmp_path / "whole.jsonl")
    assert (again.settings, again.records) == (COMMON, whole.records)


def test_more_parts_than_problems_are_a_run_too() -> None:
    parts = {str(number): _part(number, 9) for number in range(1, 10)}
    assert merged(parts)[0].records == _records(range(PROBLEMS))


def _without(results: Results, count: int) -> Results:
    return Results(results.settings, results.records[:-count])


_OWN = {"part": "1/1", "problems": PROBLEMS, "samples": SAMPLES, "published": {}}


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"a": _part(1), "c": _part(3)}, "1 of 3 parts are missing: 2/3"),
        ({"a": _part(1), "b": _part(1)}, "part 1/3 is in a and in b"),
        ({"a": _part(1), "b": _part(2, 4)}, "a is one of 3 parts and b one of 4"),
        ({"a": _part(1), "b": _part(2, variant="fp32")}, "of several runs: variant differ"),
        (
            {"a": _part(1), "b": _without(_part(2), 1), "c": _part(3)},
            r"b has 3 of 4 samples; run its command again",
        ),
        ({"a": Results(COMMON, [])}, "a is no part of a run"),
        ({"a": _part(1, part_of={"part": "1/1"})}, "a says wrongly of what it is a part"),
        ({"a": _part(1, part_of={**_OWN, "part": "5/2"})}, "a says wrongly of what it is a part"),
        ({"a": _part(1, part_of={**_OWN, "samples": 0})}, "a says wrongly of what it is a part"),
        ({"a": _part(1, 1, part_of={**_OWN, "samples": 3})}, "a has 14 of 21 samples"),
    ],
)
def test_what_is_missing_or_there_twice_is_told(parts: dict[str, Results], complaint: str) -> None:
    with pytest.raises(EvalError, match=complaint):
        merged(parts)


def test_a_part_is_one_of_several() -> None:
    assert read_part("2/3") == Part(2, 3)
    assert [Part(number, 3).size(7) for number in (1, 2, 3)] == [3, 2, 2]
    for wrong in ("0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/3", "1/99999"):
        with pytest.raises(OptionError, match="expected I/N with I from 1 to N"):
            read_part(wrong)
