"""Filling holes: what the truth costs, how alike two texts are, and figures of a tiny model."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fakes import SIZES, CountingSession

from refact_edge.quant.eval.fim import Filler, is_repetitive, lender, summarize
from refact_edge.quant.eval.likelihood import Reader, log_probabilities
from refact_edge.quant.eval.similarity import edit_distance, similarity
from refact_edge.quant.texts.holes import Hole, cut_holes
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.opening.load import load

# The counting session's logits: 5 for the next id, 4 for the one after, 0 for 30 others.
TOTAL = math.exp(5) + math.exp(4) + 30


def _bits(logit: float) -> float:
    return -math.log2(math.exp(logit) / TOTAL)


@pytest.mark.parametrize("length", [1, 5, 127, 128, 129, 260])
@pytest.mark.parametrize("text", [[], [6], [6, 7, 9]])
def test_a_text_costs_the_sum_of_its_ids_without_the_padding_rows(
    length: int, text: list[int]
) -> None:
    prompt = [0] * (length - 1) + [5]
    expected = {0: 0.0, 1: _bits(5), 3: 2 * _bits(5) + _bits(4)}[len(text)]
    reader = Reader(CountingSession(), (text or [5])[-1] + 1, frozenset())
    for _ in range(2):  # the second time from the cache
        cost = reader.cost(prompt, text)
        assert cost.bits == pytest.approx(expected)
        assert cost.end_probability == pytest.approx(math.exp(5) / TOTAL)


def test_a_long_text_costs_the_same_as_its_pieces() -> None:
    session = CountingSession()
    text = [(6 + i) % SIZES.tokens for i in range(280)]
    cost = Reader(session, 0, frozenset()).cost([5], text)
    assert cost.bits == pytest.approx(280 * _bits(5))
    assert max(session.steps) <= 128


def test_writing_is_greedy_and_tells_whether_it_stopped() -> None:
    reader = Reader(CountingSession(), 9, frozenset({9}))
    assert reader.write([5], 10) == ([6, 7, 8], True)
    assert reader.write([5], 2) == ([6, 7], False)


def test_log_probabilities_of_large_logits_do_not_overflow() -> None:
    rows = log_probabilities(np.array([[1e4, 1e4], [0, -1e4]], np.float32), np.array([0, 1]))
    assert rows == pytest.approx([math.log(0.5), -1e4])


@pytest.mark.parametrize(
    ("a", "b"),
    [("", ""), ("a", ""), ("kitten", "sitting"), ("flaw", "lawn"), ("éa", "ae"), ("abc", "abc"),
     ("xabcabc", "abcabcy"), ("ab\nab", "ba\n")],
)  # fmt: skip
def test_edit_distance_is_the_recurrence(a: str, b: str) -> None:
    @cache
    def slow(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = slow(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(slow(i - 1, j) + 1, slow(i, j - 1) + 1, replaced)

    assert edit_distance(a, b) == slow(len(a), len(b))
    assert similarity(a, b) == pytest.approx(1 - slow(len(a), len(b)) / max(len(a), len(b), 1))


def test_three_equal_lines_are_repetitive_and_blank_ones_do_not_count() -> None:
    assert is_repetitive("a\n  a\nb\na")
    assert not is_repetitive("a\n\n\n\na\nb\n")


def _hole(file: str, number: int) -> Hole:
    return Hole(f"{file}:{number}", "line", file, "p", "m", "s")


def test_the_wrong_suffix_comes_from_another_file_where_there_is_one() -> None:
    holes = [_hole("a", 0), _hole("a", 1), _hole("b", 2)]
    assert [lender(holes, i) for i in range(3)] == [holes[2], holes[2], holes[0]]
    assert lender(holes[:2], 0) == holes[1]
    assert lender(holes[:1], 0) is None


SOURCE = "".join(f"def f_{i}(x):\n    y = x + {i}\n    return y * {i}\n\n\n" for i in range(40))
FIVE = {"spm", "psm", "prefix alone", "spm, wrong suffix", "psm, wrong suffix"}


def test_every_hole_is_measured_behind_five_prompts_within_the_window(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_bundle, variant="fp32")
    longest: list[int] = []
    step = model.session.step

    def watched(ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        rows = step(ids, cache, keep)
        longest.append(len(cache.ids))
        return rows

    monkeypatch.setattr(model.session, "step", watched)
    holes = cut_holes([Source("a.py", SOURCE), Source("b.py", SOURCE)], ("line", "body"), 6, 0)
    filler = Filler(model, 200, None)
    records = [filler.measure(hole, lender(holes, i)) for i, hole in enumerate(holes)]
    assert max(longest) <= 200
    assert {record["outcome"] for record in records} == {"measured"}
    for record in records:
        assert record["bits"].keys() == FIVE
        assert all(bits > 0 for bits in record["bits"].values())
        assert ("exact_alone" in record) == (record["kind"] == "line")
        assert "\n" not in record["completion"] or record["kind"] != "line"
    figures = summarize(records)
    assert figures["kinds"].keys() == {"line", "body", "all"}
    assert figures["kinds"]["all"]["holes"] == 6
    assert figures["kinds"]["body"]["exact_alone"] is None
    line = figures["kinds"]["line"]
    own = [record for record in records if record["kind"] == "line"]
    total = sum(record["bits"]["spm"] for record in own) / sum(len(r["middle"]) for r in own)
    assert line["bits_per_byte"]["spm"] == pytest.approx(total)


def test_a_hole_too_long_for_the_window_is_left_out_and_counted(tiny_bundle: Path) -> None:
    filler = Filler(load(tiny_bundle, variant="fp32"), 128, None)
    middle = "x = [" + ", ".join(map(str, range(99))) + "]"
    record = filler.measure(Hole("a", "span", "a", "p = 1\n", middle, "\nq\n"), None)
    assert record["outcome"] == "too long"
    assert summarize([record]) == {"kinds": {}, "too_long": 1}


def test_a_window_or_an_order_that_makes_no_sense_is_refused(tiny_bundle: Path) -> None:
    model = load(tiny_bundle, variant="fp32")
    for context in (3, 0, -1):
        with pytest.raises(OptionError, match=f"context {context}; expected 128 or more"):
            Filler(model, context, None)
    with pytest.raises(OptionError, match="order 'xyz'; expected one of: spm, psm"):
        Filler(model, None, "xyz")


def test_the_prefix_alone_may_be_right_with_its_indent_or_without(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = Filler(load(tiny_bundle, variant="fp32"), 200, None)
    prompts: list[str] = []

    def write(prompt: list[int], most: int) -> tuple[list[int], bool]:
        text = filler._tokens.decode(prompt)
        prompts.append(text)
        said = {"p\n    ": "wrong\n", "p\n": "\n    m = 1\nmore"}.get(text, "other")
        return filler._tokens.encode(said), True

    monkeypatch.setattr(filler._reader, "write", write)
    record = filler.measure(Hole("a", "line", "a", "p\n    ", "m = 1", "\ns\n"), None)
    assert prompts[1:] == ["p\n    ", "p\n"]
    assert record["completions_alone"] == ["wrong", "m = 1"]
    assert (record["exact"], record["exact_alone"]) == (False, True)
