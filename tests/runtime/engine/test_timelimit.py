"""Requests that may take only so long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import CountingSession

import refact_edge
from refact_edge import Model
from refact_edge.runtime.engine.pace import Paced
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.engine.timelimit import TimeLimit
from refact_edge.runtime.errors import OptionError

LONG = "".join(f"def f{i}(x):\n    return x + {i}\n\n\n" for i in range(40))


@pytest.fixture
def model(tiny_bundle: Path) -> Model:
    return refact_edge.load(tiny_bundle, variant="fp32")


def _prompt_tokens(model: Model, prompt_ms: float | None, text: str = LONG) -> int:
    stream = model.complete(text, "\n", prompt_ms=prompt_ms, max_tokens=4, sampling=GREEDY)
    list(stream)
    return stream.usage.prompt


def test_a_prompt_shrinks_to_what_can_be_read_in_time(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.complete(LONG, "\n", max_tokens=4).usage.prompt
    monkeypatch.setattr(model._paced, "tokens_within", lambda ms: int(ms))  # a token each ms
    assert _prompt_tokens(model, 200) <= 200 < whole
    saved = _prompt_tokens(model, 200)
    assert saved > 100
    # The tail of the file stays, not its head.
    ids = model.complete(LONG + "tail = ", "\n", prompt_ms=150)._generation.request.ids
    assert model.tokens.decode(ids).count("tail") == 1
    # What is read already costs nothing: the next keystroke keeps the same context.
    assert saved <= _prompt_tokens(model, 200, LONG + "x = 1") <= saved + 20
    list(model.complete(LONG, "\n", max_tokens=4, sampling=GREEDY))
    assert _prompt_tokens(model, 200) == whole


def test_however_little_time_there_is_something_is_read(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model._paced, "tokens_within", lambda ms: 0)
    assert 10 < _prompt_tokens(model, 1) < 150


def test_when_the_time_is_over_the_text_ends_and_says_so(model: Model) -> None:
    stream = model.complete("def f(", ")", total_ms=1e-6, max_tokens=50, sampling=GREEDY)
    assert "".join(stream) == ""
    assert stream.finish == "time"
    unhurried = model.complete("def f(", ")", total_ms=1e6, max_tokens=3, sampling=GREEDY)
    list(unhurried)
    assert unhurried.finish in ("length", "stop")


def test_half_of_the_time_is_for_the_prompt_unless_told_otherwise() -> None:
    assert TimeLimit.starting_now(None, None).prompt_ms is None
    assert TimeLimit.starting_now(None, 100).prompt_ms == 50
    assert TimeLimit.starting_now(80, 100).prompt_ms == 80
    assert TimeLimit.starting_now(800, 100).prompt_ms == 100
    with pytest.raises(OptionError, match="total_ms 0; expected milliseconds above 0"):
        TimeLimit.starting_now(None, 0)


def test_the_pace_is_learned_from_longer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    session = CountingSession()
    paced = Paced(session)
    clock = iter([0.0, 0.016, 1.0, 1.5, 2.0, 2.064])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert paced.tokens_within(100) == 100  # a step of 16 tokens took 16 ms
    assert session.steps == [16]
    paced.step(np.zeros(1, np.int64), paced.new_cache())  # one token tells nothing
    assert paced.tokens_within(100) == 100
    paced.step(np.zeros(32, np.int64), paced.new_cache())  # 2 ms each
    assert paced.tokens_within(100) == 76


def test_a_limit_holds_while_windows_coarse_clock_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fine = iter([10.0, 10.004, 10.006])
    monkeypatch.setattr("time.monotonic", lambda: 10.0)
    monkeypatch.setattr("time.perf_counter", lambda: next(fine))
    limit = TimeLimit.starting_now(None, 5)
    assert not limit.expired()
    assert limit.expired()


def test_no_duration_is_read_from_the_coarse_clock() -> None:
    runtime = Path(refact_edge.__file__).parent / "runtime"
    sources = {path.name: path.read_text(encoding="utf-8") for path in runtime.rglob("*.py")}
    assert [name for name, text in sources.items() if "time.monotonic" in text] == []
