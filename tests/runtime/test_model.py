"""Streams of a model: the same text each time, and an end when it is asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import refact_edge
from refact_edge import CancelToken, Model, Sampling
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.sampling import GREEDY

HOT = Sampling(temperature=1.5, top_k=0, seed=5)


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return refact_edge.load(tiny_bundle, variant="fp32")


def test_a_stream_yields_pieces_and_then_knows_itself(model: Model) -> None:
    stream = model.complete("def f(", ")\n", max_tokens=12, sampling=HOT, stop=())
    pieces = list(stream)
    assert all(isinstance(piece, str) and piece for piece in pieces)
    assert "".join(pieces) == stream.text
    assert stream.text == model.tokens.decode(stream.ids)[: len(stream.text)]
    assert stream.finish in ("stop", "length")
    assert stream.usage.new == len(stream.ids)
    assert stream.usage.prompt == 3 + len(model.tokens.encode("def f(")) + len(
        model.tokens.encode(")\n")
    )


def test_the_same_seed_gives_the_same_text(model: Model) -> None:
    def text(seed: int) -> str:
        chosen = Sampling(temperature=1.5, top_k=0, seed=seed)
        return "".join(model.generate("abc", max_tokens=30, sampling=chosen))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_a_second_prompt_reuses_the_first_and_says_the_same(
    model: Model, tiny_bundle: Path
) -> None:
    prompt = "value = " * 30
    first = model.generate(prompt, max_tokens=20, sampling=GREEDY)
    list(first)
    again = model.generate(prompt, max_tokens=20, sampling=GREEDY)
    list(again)
    assert again.usage.cached == again.usage.prompt - 1
    fresh = refact_edge.load(tiny_bundle, variant="fp32")
    alone = fresh.generate(prompt, max_tokens=20, sampling=GREEDY)
    assert "".join(alone) == again.text == first.text
    assert alone.usage.cached == 0


def test_a_stop_string_ends_the_text_before_it(model: Model) -> None:
    for seed in range(100):  # random weights may stop by themselves too soon
        hot = Sampling(temperature=1.5, top_k=0, seed=seed)
        free = model.generate("abc", max_tokens=30, sampling=hot)
        list(free)
        if len(free.text) > 8:
            break
    stop = free.text[5:8]
    cut = model.generate("abc", max_tokens=30, sampling=hot, stop=[stop])
    assert "".join(cut) == free.text[: free.text.index(stop)]
    assert cut.finish == "stop"


def test_a_cancel_token_ends_it_from_another_thread(model: Model) -> None:
    token = CancelToken()
    stream = model.generate("abc", max_tokens=500, sampling=HOT, cancel=token)
    next(stream)
    thread = threading.Thread(target=token.cancel)
    thread.start()
    thread.join()
    assert len(list(stream)) < 5
    assert stream.finish == "cancelled"


def test_a_cancelled_request_takes_no_step(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    token = CancelToken()
    token.cancel()
    steps = []
    monkeypatch.setattr(model.session, "step", lambda *arguments: steps.append(arguments))
    stream = model.generate("never seen before " * 20, max_tokens=5, cancel=token)
    assert list(stream) == []
    assert (stream.finish, stream.usage.new, steps) == ("cancelled", 0, [])


def test_closing_from_another_thread_ends_it_at_the_next_token(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = model.generate("abc", max_tokens=500, sampling=HOT)
    closer = threading.Thread(target=stream.close)
    next(stream)
    real = model.session.step

    def close_meanwhile(ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        closer.start()
        closer.join()
        monkeypatch.setattr(model.session, "step", real)
        return real(ids, cache, keep)

    monkeypatch.setattr(model.session, "step", close_meanwhile)
    assert len(list(stream)) <= 1
    assert stream.finish == "cancelled"


def test_closing_early_is_a_cancel(model: Model) -> None:
    with model.generate("abc", max_tokens=500, sampling=HOT) as stream:
        next(stream)
    assert stream.finish == "cancelled"
    assert list(stream) == []


def test_eight_threads_get_the_answers_they_get_alone(model: Model) -> None:
    prompts = [f"def f{i}(x):" * (1 + i) for i in range(8)]

    def answer(prompt: str) -> str:
        return "".join(model.generate(prompt, max_tokens=25, sampling=GREEDY))

    alone = [answer(prompt) for prompt in prompts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(answer, prompts * 3))
    assert together == alone * 3


def test_a_prompt_can_be_scored_without_new_tokens(model: Model) -> None:
    stream = model.generate("def f(x):\n", max_tokens=0, top_logprobs=1, score_prompt=True)
    assert "".join(stream) == ""
    assert len(stream.prompt_scores) == len(stream.prompt_ids) - 1
    assert all(scored.logprob <= scored.top[0][1] <= 0 for scored in stream.prompt_scores)


def test_a_stream_knows_the_string_that_ended_it(model: Model) -> None:
    text = "".join(model.generate("def f(x):\n", max_tokens=20, sampling=GREEDY))
    stop = text[3:5]
    stream = model.generate("def f(x):\n", max_tokens=20, sampling=GREEDY, stop=[stop])
    assert "".join(stream) == text[: text.index(stop)]
    assert (stream.cut, stream.stop_text) == (True, stop)
