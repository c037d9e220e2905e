"""Replaying traces: which requests are made, and what they sum up to."""

from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes import CountingSession

from refact_edge.runtime.bench.figures import Percentiles, Replays, Served, Spread, typing_of
from refact_edge.runtime.bench.replay import replay
from refact_edge.runtime.bench.table import typing_lines
from refact_edge.runtime.bench.traces import Event, Trace
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.model import Model

TEXT = "def f(x):\n    return x\n"
TRACE = Trace(
    "small",
    "a.py",
    TEXT,
    (
        Event(0, 10, 0, "    y = 1\n", True),
        Event(0, 0, 0, ""),
        Event(0, 20, 0, "    z", True),
        Event(0, 25, 0, " = 2", True),
    ),
)


@pytest.fixture
def model(tiny_bundle: Path) -> Model:
    bundle = read_bundle(tiny_bundle)
    return Model(bundle, "int4", CountingSession(bundle.sizes))


def test_each_ask_is_one_request_and_finds_what_the_last_one_left(model: Model) -> None:
    advances: list[int] = []
    served = replay(model, TRACE, max_tokens=4, advance=advances.append)
    assert advances == [1, 1, 1]
    tokens = model.tokens.encode
    suffix = len(tokens("    return x\n"))
    prompts = [
        len(tokens(TEXT[:10] + "    y = 1\n" + typed)) + suffix + 3
        for typed in ("", "    ", "    z = ")  # the word before the cursor is written anew
    ]
    assert [one.prompt_tokens for one in served] == prompts
    assert served[0].cached_tokens == 0
    # Suffix first: all that was typed before is there but, at most, the last token.
    assert all(
        later.cached_tokens >= before.prompt_tokens - 2 for before, later in pairwise(served)
    )


def test_times_are_taken_at_the_first_piece_and_at_the_end(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    (letter,) = model.tokens.encode("x")
    monkeypatch.setattr(model.session, "step", _always(letter, model))
    for one in replay(model, TRACE, max_tokens=4, clock=lambda: float(next(ticks))):
        assert (one.first_token_ms, one.total_ms) == (1000, 2000)


def test_an_empty_answer_is_complete_at_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    end = model.layouts.end_id
    monkeypatch.setattr(model.session, "step", _always(end, model))
    for one in replay(model, TRACE, clock=lambda: float(next(ticks))):
        assert (one.first_token_ms, one.total_ms) == (1000, 1000)


def _always(token: int, model: Model) -> Callable[..., np.ndarray]:
    real = model.session.step

    def step(ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        logits = real(ids, cache, keep)
        logits[:, token] = 99
        return logits

    return step


def test_percentiles_and_spreads_are_those_of_the_values() -> None:
    assert Percentiles.of([float(i) for i in range(101)]) == Percentiles(50, 95)
    assert Percentiles.of([7.0]) == Percentiles(7, 7)
    assert Spread.of([3, 1, 2, 10]) == Spread(2.5, 1, 10)


def _served(prompt: int, cached: int) -> Served:
    return Served(10.0, 20.0, prompt, cached, drafted=4, accepted=3)


def test_reuse_leaves_out_the_first_request_of_each_trace() -> None:
    first, second = [_served(100, 0), _served(100, 80)], [_served(50, 10), _served(200, 100)]
    one, both = typing_of("a", [first]), typing_of("all", [first, second])
    assert (one.reused_share, one.prompt_tokens, one.evaluated_tokens) == (0.8, 200, 120)
    assert both.reused_share == 180 / 300
    assert (both.requests, both.prompt_tokens, both.evaluated_tokens) == (4, 450, 260)
    assert (both.drafted, both.accepted) == (16, 12)
    assert typing_of("alone", [[_served(9, 0)]]).reused_share == 0


def test_the_table_has_a_line_a_trace_and_one_for_all() -> None:
    one = typing_of("jumps", [[_served(100, 0), _served(100, 80)]])
    overall = typing_of("all", [[_served(1, 0)]])
    figures = Replays("bundle", "int4", "an engine", "cpu", 2, "a CPU", 16, (one,), overall)
    title, cpu, _, head, under, row, last = typing_lines(figures)
    assert title == "bundle: int4 on cpu by an engine, 2 threads, 16 tokens a completion"
    assert cpu == "a CPU"
    assert "first token, ms" in head
    assert under.split() == ["p50", "p95", "p50", "p95"]
    assert row.split() == [
        "jumps", "2", "10.0", "10.0", "20.0", "20.0", "200", "120", "80.0%", "6", "of", "8",
    ]  # fmt: skip
    assert last.startswith("all ")
