"""What a variant lost: figures with known answers."""

import math
from pathlib import Path

import numpy as np
import pytest

from refact_edge.quant.moments import Moments, output_error
from refact_edge.quant.report import Comparison, Logits, Text, quality_lines
from refact_edge.quant.texts.calibration import Ids
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.text.prompts import Layouts
from refact_edge.runtime.text.tokens import Tokens

NOTHING = range(0)


@pytest.fixture(scope="module")
def parts(demo_bundle: Path) -> tuple[Tokens, Layouts]:
    return (
        Tokens(demo_bundle / "tokenizer.json"),
        Layouts.from_manifest(read_bundle(demo_bundle).prompts),
    )


def _quiet(_done: int) -> None:
    pass


def _sure_of(ids: Ids, size: int, height: float = 30.0) -> Logits:
    """Return logits [T, V] by which each next id is as good as certain; the last one ends."""
    logits = np.zeros((len(ids), size), np.float32)
    logits[np.arange(len(ids)), [*ids[1:], 0]] = height
    return logits


def test_the_same_logits_lose_nothing(parts: tuple[Tokens, Layouts]) -> None:
    tokens, layouts = parts
    ids = np.array([*tokens.encode("def add(a, b):\n    return a + b"), 0], np.int64)
    logits = np.random.default_rng(0).standard_normal((len(ids), tokens.size + 3))
    exact = logits.astype(np.float32)
    comparison = Comparison([Text(ids, NOTHING)], tokens, layouts)
    figures = comparison.run(lambda: [exact], {"same": lambda: lambda _ids: exact}, _quiet)
    found = figures["variants"]["same"]
    assert found["mean_kl"] == found["p99_kl"] == 0
    assert found["top1_agreement"] == found["top5_agreement"] == 1
    assert found["bits_per_byte"] == figures["full_precision"]["bits_per_byte"]


def test_kl_and_cost_are_those_worked_out_by_hand(parts: tuple[Tokens, Layouts]) -> None:
    tokens, layouts = parts
    byte = tokens.encode("x")[0]
    other = tokens.encode("y")[0]
    ids = np.array([byte, byte], np.int64)
    full, rough = np.full((2, 2, tokens.size), -1e4, np.float32)
    full[:, [byte, other]] = np.log([0.75, 0.25])
    rough[:, [byte, other]] = np.log([0.25, 0.75])
    comparison = Comparison([Text(ids, NOTHING)], tokens, layouts)
    figures = comparison.run(lambda: [full], {"rough": lambda: lambda _ids: rough}, _quiet)
    rough_figures = figures["variants"]["rough"]
    assert rough_figures["mean_kl"] == pytest.approx(0.5 * math.log(3), rel=1e-3)
    assert (rough_figures["top1_agreement"], rough_figures["top5_agreement"]) == (0, 1)
    assert figures["full_precision"]["bits_per_byte"] == pytest.approx(-math.log2(0.75), rel=1e-3)
    assert rough_figures["bits_per_byte"] == pytest.approx(2.0, rel=1e-3)


def test_a_line_counts_when_every_id_and_then_an_end_comes_first(
    parts: tuple[Tokens, Layouts],
) -> None:
    tokens, layouts = parts
    line = tokens.encode("return None")
    ids = np.array([2, *line, 0], np.int64)
    text = Text(ids, range(1, 1 + len(line)))
    right = _sure_of(ids, tokens.size)
    going_on, wrong = right.copy(), right.copy()
    going_on[len(line)] = 0
    going_on[len(line), tokens.encode("x")[0]] = 9
    wrong[1] = 0
    runs = dict.fromkeys(("right",), right) | {"going on": going_on, "wrong": wrong}
    openers = {name: (lambda logits=logits: lambda _ids: logits) for name, logits in runs.items()}
    figures = Comparison([text], tokens, layouts).run(lambda: [right], openers, _quiet)
    assert figures["full_precision"]["exact_lines"] == 1
    lost = {name: f["exact_only_in_full_precision"] for name, f in figures["variants"].items()}
    assert lost == {"right": 0, "going on": 1, "wrong": 1}


def test_guessing_is_called_guessing(parts: tuple[Tokens, Layouts]) -> None:
    tokens, layouts = parts
    ids = np.array(tokens.encode("import os\nimport sys\n"), np.int64)

    def judge(logits: Logits) -> tuple[bool, str]:
        comparison = Comparison([Text(ids, NOTHING)], tokens, layouts)
        figures = comparison.run(lambda: [logits], {}, _quiet)
        return figures["full_precision"]["at_chance"], list(quality_lines(figures))[-1]

    at_chance, last_line = judge(np.zeros((len(ids), tokens.size), np.float32))
    assert at_chance
    assert "nothing of quality" in last_line
    at_chance, last_line = judge(_sure_of(ids, tokens.size))
    assert not at_chance
    assert "nothing of quality" not in last_line


def test_the_output_error_is_that_of_the_products() -> None:
    random = np.random.default_rng(1)
    activations = random.standard_normal((500, 12)).astype(np.float32)
    weight = random.standard_normal((7, 12)).astype(np.float32)
    rounded = np.round(weight, 1)
    moments = Moments()
    for part in np.split(activations, 5):
        moments.add(part)
    exact, near = activations @ weight.T, activations @ rounded.T
    expected = np.sqrt(np.square(exact - near).mean() / np.square(exact).mean())
    assert output_error(weight, rounded, moments.second) == pytest.approx(expected, rel=1e-3)
