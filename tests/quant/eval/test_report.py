"""What is printed, and when the card's figure stands beside ours."""

from dataclasses import replace
from typing import Any

import pytest

from refact_edge.export.refact_shapes import PUBLISHED
from refact_edge.quant.eval import report
from refact_edge.quant.eval.cli import MAX_TOKENS, Sampled
from refact_edge.quant.eval.forms import check_form
from refact_edge.quant.eval.presets import PRESETS, System
from refact_edge.runtime.bundle.contract import sizes_of

FIGURES: dict[str, Any] = {
    "problems": 164,
    "samples": 328,
    "outcomes": {"passed": 100, "failed": 220, "timed out": 8, "too long": 0},
    "cut_at_max_tokens": 3,
    "pass_at": {"1": {"percent": 30.5, "interval": (25.0, 36.0)}},
}
SETTINGS: dict[str, Any] = {"benchmark": "HumanEval", "form": "ltr", "temperature": 0.2}


def _asked(**given: Any) -> Sampled:
    names = "n form temperature top_p top_k limit sample part without_model"
    plain = dict.fromkeys(names.split())
    fixed = {"seed": 0, "max_tokens": MAX_TOKENS, "jobs": 1, "timeout": 9.0, "unsafe": False}
    return Sampled(**{**plain, **fixed, **given})


def test_a_run_is_told_in_lines() -> None:
    assert list(report.samples("int4", SETTINGS, FIGURES, {1: 31.5})) == [
        "HumanEval, int4: 164 problems, 2 samples each, ltr, temperature 0.2",
        "  100 passed, 220 failed, 8 timed out; 3 reached --max-tokens",
        "  pass@1    30.5 %  (95 %: 25.0 to 36.0)  published, full precision: 31.5 %",
    ]


REFACT = sizes_of(PUBLISHED, 49152)


def test_the_published_figure_stands_beside_the_presets_own_run_alone() -> None:
    for name, preset in PRESETS.items():
        system = preset.system or System("refact", 32, 2048)
        own = replace(REFACT, layers=system.layers, width=system.width)
        asked = _asked().preset(preset)
        assert asked.published_for(164, own, system.family) == preset.published, name
        assert asked.published_for(163, own, system.family) == {}
    base = PRESETS["cool"]
    changes = (
        ("n", 5),
        ("temperature", 0.3),
        ("limit", 164),
        ("sample", 164),
        ("form", "psm"),
        ("max_tokens", 9),
    )
    for name, value in changes:
        assert _asked(**{name: value}).preset(base).published_for(164, REFACT, "refact") == {}, name
    assert _asked(n=base.samples).preset(base).published == base.published


def test_a_published_figure_stands_beside_no_other_model() -> None:
    assert PRESETS["greedy"].published_for(164, replace(REFACT, layers=2), "refact") == {}
    assert PRESETS["decicoder"].published_for(164, REFACT, "refact") == {}
    shape = replace(REFACT, layers=32, width=2560)  # StableCode's, Replit's and Granite's
    for name, family in (("stablecode", "granite-code"), ("replit-code", "starcoder")):
        assert PRESETS[name].published_for(164, shape, family) == {}


def test_the_presets_redo_the_cards_rows() -> None:
    rows = {name: (p.temperature, p.published) for name, p in PRESETS.items()}
    assert rows["greedy"] == (0.01, {1: 32.0})
    assert rows["cool"] == (0.2, {1: 31.5})
    assert rows["warm"] == (0.8, {10: 53.0, 100: 76.9})
    assert rows["chat"][1] == {1: 38.4, 10: 55.6}
    assert rows["decicoder"][1] == {1: 19.1}
    assert rows["codegen2.5-multi"][1] == {1: 28.4, 10: 47.5}
    assert rows["codegen2.5-instruct"][1] == {1: 36.2, 10: 60.87}
    assert all(p.samples >= max(p.published, default=1) for p in PRESETS.values())


def test_presets_ask_in_forms_that_humaneval_has() -> None:
    for preset in PRESETS.values():
        check_form(preset.form, infilling=False)
        assert preset.question.text.count("{prompt}") == 1


def test_what_changed_is_listed_up_to_a_bound() -> None:
    compared = {
        "both": 1, "only_a": 30, "only_b": 0, "neither": 2, "p_value": 1e-9, "left_out": 4,
        "changed": {f"HumanEval/{i}": "a" for i in range(30)}, "difference": -90.9,
        "interval": (-97.0, -80.0),
    }  # fmt: skip
    lines = list(report.comparison("int4", "fp32", compared, ["form"]))
    assert lines[:4] == [
        "the two runs also differ in form",
        "both solved 1, only int4 30, only fp32 0, neither 2; McNemar p = 1e-09",
        "  4 that only one of them has tried are left out",
        "  fp32 less int4: -90.9 points (95 %: -97.0 to -80.0)",
    ]
    assert lines[4] == "  only int4: HumanEval/0"
    assert lines[-1] == "  and 10 more; --json has all"
    assert len(lines) == 4 + 20 + 1


@pytest.mark.parametrize(("alone", "told"), [(20.0, "; with it 2.00 times as many"), (0.0, "")])
def test_lines_are_told_with_and_without_the_suffix(alone: float, told: str) -> None:
    kind = {
        "holes": 5, "exact": 40.0, "exact_alone": alone, "similarity": 50.0, "stopped": 100.0,
        "repetitive": 0, "bits_per_byte": {"spm": 1.0}, "end_probability": {"spm": 0.5},
    }  # fmt: skip
    figures = {"kinds": {"line": kind}, "too_long": 2}
    lines = list(report.holes("int4", {"context": 512, "order": "spm"}, figures))
    assert f"  lines without the suffix: {alone:.1f} % exact{told}" in lines
    assert "  2 holes are too long for that window and are left out" in lines
    assert lines[-1].split() == ["line", "1.000", "0.500"]
