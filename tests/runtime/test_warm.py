"""Reading ahead, and giving way to a request."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import refact_edge
from refact_edge import CancelToken, Model
from refact_edge.runtime.dispatch import WARM_TOKENS
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.engine.turns import Turns

LONG = "def f(x):\n    return x\n\n\n" * 40


@pytest.fixture
def model(tiny_bundle: Path) -> Model:
    return refact_edge.load(tiny_bundle, variant="fp32")


def test_what_was_warmed_is_not_evaluated_again(model: Model) -> None:
    warmed = model.warm(LONG, "\n", max_tokens=4)
    assert (warmed.cached, warmed.new) == (0, 0)
    stream = model.complete(LONG, "\n", max_tokens=4, sampling=GREEDY)
    list(stream)
    assert stream.usage.prompt == warmed.prompt
    assert stream.usage.cached == warmed.prompt - 1
    assert model.warm(LONG, "\n", max_tokens=4).cached == warmed.prompt - 1


def test_warming_ends_at_the_next_chunk_when_a_request_begins(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    real, begun = model.session.step, threading.Event()
    answers: list[str] = []

    def ask() -> None:
        stream = model.generate("abc", max_tokens=2, sampling=GREEDY)
        with stream:
            next(stream, None)
            begun.set()

    def step(ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        if len(steps) == 1 and threading.current_thread() is threading.main_thread():
            asker = threading.Thread(target=ask)
            steps.append(0)
            asker.start()
            begun.wait(5)
            asker.join()
        if threading.current_thread() is threading.main_thread():
            steps.append(len(ids))
        return real(ids, cache, keep)

    with monkeypatch.context() as patch:
        patch.setattr(model.session, "step", step)
        warmed = model.warm(LONG, "\n", max_tokens=4)
    assert begun.is_set()
    assert warmed.prompt > 3 * WARM_TOKENS
    # The chunk during which the request came is finished; no other is begun.
    assert steps == [WARM_TOKENS, 0, WARM_TOKENS]
    stream = model.complete(LONG, "\n", max_tokens=4, sampling=GREEDY)
    answers += stream
    assert stream.usage.cached == 2 * WARM_TOKENS


def test_a_completion_read_ahead_is_not_evaluated_when_it_was_accepted(model: Model) -> None:
    shown = model.complete(LONG, "\n", max_tokens=9, stop=(), sampling=GREEDY, heal=False)
    prefix = LONG + "".join(shown)
    model.warm(prefix, "\n", max_tokens=9, heal=False)
    accepted = model.complete(prefix, "\n", max_tokens=9, sampling=GREEDY, heal=False)
    list(accepted)
    assert accepted.usage.prompt > shown.usage.prompt
    assert accepted.usage.cached == accepted.usage.prompt - 1


def test_warming_beside_a_request_does_nothing(model: Model) -> None:
    with model.generate("abc", max_tokens=9, sampling=GREEDY, allow_empty=False) as stream:
        next(stream)
        model.warm(LONG, "\n", max_tokens=4)
    after = model.complete(LONG, "\n", max_tokens=4, sampling=GREEDY)
    list(after)
    assert after.usage.cached == 0


def test_a_request_that_has_ended_is_in_nobodys_way() -> None:
    turns, token = Turns(), CancelToken()
    with pytest.raises(ZeroDivisionError), turns.request():
        raise ZeroDivisionError
    with turns.warming(token):
        assert not token.cancelled
        with turns.request():
            assert token.cancelled
