"""Two runs, pair by pair."""

from pathlib import Path
from typing import Any

import pytest

from refact_edge.quant.eval.compare import check_comparable, compare_results, compare_shares
from refact_edge.quant.eval.figures import mcnemar
from refact_edge.quant.eval.results import Results
from refact_edge.runtime.errors import EvalError

SETTINGS = {"kind": "samples", "benchmark": "HumanEval", "sha256": "1", "variant": "int4"}


def _run(outcomes: dict[str, str], **settings: Any) -> Results:
    records = [
        {"task_id": name, "sample": i, "outcome": {"+": "passed", "-": "failed"}[mark]}
        for name, marks in outcomes.items()
        for i, mark in enumerate(marks)
    ]
    return Results({**SETTINGS, **settings}, records, Path("a.jsonl"))


def test_pairs_are_counted_and_what_changed_is_named() -> None:
    a = _run({"1": "+", "2": "+", "3": "-", "4": "-", "5": "-"})
    b = _run({"1": "+", "2": "-", "3": "+", "4": "+", "5": "-"}, variant="fp32")
    found = compare_results(a, b)
    assert [found[name] for name in ("both", "only_a", "only_b", "neither")] == [1, 1, 2, 1]
    assert found["changed"] == {"2": "a", "3": "b", "4": "b"}
    assert found["p_value"] == mcnemar(1, 2) == 1
    assert found["difference"] == pytest.approx(20)
    low, high = found["interval"]
    assert low < 20 < high


def test_with_several_samples_solved_means_half_of_them() -> None:
    found = compare_results(_run({"1": "++--", "2": "+---"}), _run({"1": "+---", "2": "+---"}))
    assert (found["only_a"], found["neither"]) == (1, 1)
    assert found["difference"] == pytest.approx(-12.5)


def test_what_only_one_has_tried_is_left_out_and_counted() -> None:
    found = compare_results(_run({"1": "+", "2": "+"}), _run({"2": "+", "3": "-"}))
    assert (found["both"], found["left_out"]) == (1, 2)
    with pytest.raises(EvalError, match="no problem in common"):
        compare_shares({"1": 1.0}, {"2": 1.0})


def test_runs_of_other_problems_are_refused_and_other_settings_told() -> None:
    a = _run({"1": "+"})
    with pytest.raises(EvalError, match=r"a\.jsonl is of HumanEval and a\.jsonl of fim"):
        check_comparable(a, _run({"1": "+"}, benchmark="fim"))
    with pytest.raises(EvalError, match="HumanEval in another version; expected the same"):
        check_comparable(a, _run({"1": "+"}, sha256="2"))
    assert check_comparable(a, _run({"1": "+"}, variant="fp32", form="psm")) == ["form"]


def test_holes_are_compared_by_exact_match_and_by_bits() -> None:
    def run(bits: float, exact: tuple[bool, bool]) -> Results:
        records = [
            {"hole": str(i), "outcome": "measured", "exact": e, "bytes": 10,
             "bits": {"spm": 10 * bits, "psm": 20 * bits},
                 "end_probability": {"spm": 0.5, "psm": 0.5}}
            for i, e in enumerate(exact)
        ]  # fmt: skip
        return Results({"kind": "holes"}, [*records, {"hole": "9", "outcome": "too long"}])

    found = compare_results(run(1.0, (True, False)), run(1.5, (True, True)))
    assert (found["both"], found["only_b"]) == (1, 1)
    assert found["bits_per_byte"]["spm"]["difference"] == pytest.approx(0.5)
    assert found["bits_per_byte"]["psm"]["difference"] == pytest.approx(1.0)
