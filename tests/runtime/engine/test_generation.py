"""Generation over ids, on a fake session."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import SIZES, CountingSession

from refact_edge.runtime.engine.generation import CHUNK_TOKENS, Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY, Sampling
from refact_edge.runtime.errors import ContextError, PromptError


def _generation(session: CountingSession, ids: list[int], **changes: Any) -> Generation:
    request = replace(Request(ids, GREEDY, 5, frozenset({0})), **changes)
    return Generation(session, PrefixCache(session.new_cache), request)


def test_greedy_follows_the_best_logit_and_never_takes_a_padding_id() -> None:
    generation = _generation(CountingSession(), [3])
    assert list(generation) == [4, 5, 6, 7, 8]
    assert generation.finish == "length"


def test_sampling_at_high_temperature_never_takes_a_padding_id() -> None:
    hot = Sampling(temperature=100, top_k=0, seed=3)
    generation = _generation(
        CountingSession(), [3], sampling=hot, max_new=200, stop_ids=frozenset()
    )
    assert max(generation) < SIZES.tokens


def test_a_stop_id_ends_the_text_and_is_not_part_of_it() -> None:
    generation = _generation(CountingSession(), [29])
    assert list(generation) == [30, 31]
    assert generation.finish == "stop"


def test_the_first_token_can_be_forbidden_and_only_the_first() -> None:
    generation = _generation(CountingSession(), [31], forbidden_first=(0,), max_new=3)
    assert list(generation) == [1, 2, 3]


def test_the_prompt_runs_in_chunks() -> None:
    session = CountingSession()
    list(_generation(session, [1] * (CHUNK_TOKENS + 10), max_new=3))
    assert session.steps == [CHUNK_TOKENS, 10, 1, 1]


def test_cancelling_takes_effect_before_the_next_chunk() -> None:
    session = CountingSession()
    calls = iter([False, True])
    generation = _generation(session, [1] * 250, cancelled=lambda: next(calls))
    assert list(generation) == []
    assert generation.finish == "cancelled"
    assert session.steps == [CHUNK_TOKENS]


def test_what_was_prefilled_before_a_cancel_is_reused() -> None:
    session = CountingSession()
    caches = PrefixCache(session.new_cache)
    calls = iter([False, True])
    ids = [1] * 250
    list(Generation(session, caches, Request(ids, GREEDY, 1, frozenset(), (), lambda: next(calls))))
    again = Generation(session, caches, Request(ids, GREEDY, 1, frozenset()))
    list(again)
    assert again.cached == CHUNK_TOKENS


def test_leaving_early_gives_the_cache_back() -> None:
    session = CountingSession()
    caches = PrefixCache(session.new_cache)
    running = iter(
        generation := Generation(session, caches, Request([1, 2], GREEDY, 9, frozenset()))
    )
    next(running)
    running.close()
    assert generation.finish == "cancelled"
    assert caches.take([1, 2, 3, 4]).ids == [1, 2]


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextError, match=r"has 300 tokens and the context holds 300") as refused:
        _generation(CountingSession(), [1] * 300)
    copied = pickle.loads(pickle.dumps(refused.value))
    for error in (refused.value, copied):
        assert isinstance(error, ContextError)
        assert isinstance(error, PromptError)
        assert (error.prompt_tokens, error.context_tokens) == (300, 300)
        assert str(error) == str(refused.value)
    with pytest.raises(PromptError, match="the prompt is empty"):
        _generation(CountingSession(), [])


def test_new_tokens_stop_at_the_end_of_the_context() -> None:
    generation = _generation(CountingSession(), [1] * 297, max_new=50, stop_ids=frozenset())
    assert len(list(generation)) == 3
    assert generation.finish == "length"


def test_history_counts_the_prompt_for_the_repetition_penalty() -> None:
    penalty = Sampling(temperature=0, repetition_penalty=3.0)
    # 4 would follow 3, but it stands in the prompt; 5 is the next best.
    assert next(iter(_generation(CountingSession(), [4, 3], sampling=penalty))) == 5
    assert np.array_equal(list(_generation(CountingSession(), [4, 3], max_new=1)), [4])


def test_scores_are_of_the_new_ids_and_the_likeliest_beside_them() -> None:
    generation = _generation(CountingSession(), [3], top_logprobs=2)
    new = list(generation)
    assert [scored.id for scored in generation.scores] == new
    first = generation.scores[0]
    assert [token for token, _ in first.top] == [4, 5]  # and no padding id
    total = np.exp(5) + np.exp(4) + SIZES.tokens - 2
    assert np.isclose(first.logprob, 5 - np.log(total))
    assert _generation(CountingSession(), [3]).scores == []


def test_scores_come_with_guesses_that_hold_too() -> None:
    ids = [3, 4, 5, 6, 7, 8, 9, 3, 4]
    generation = _generation(CountingSession(), ids, top_logprobs=0, texts=[ids], max_new=8)
    new = list(generation)
    assert [scored.id for scored in generation.scores] == new
    assert generation.accepted > 0


def test_a_prompt_is_scored_whole_even_where_it_was_read_before() -> None:
    session = CountingSession()
    caches = PrefixCache(session.new_cache)
    ids = [*range(CHUNK_TOKENS // 8)] * 9  # more than a chunk
    for _ in range(2):
        request = Request(ids, GREEDY, 0, frozenset(), top_logprobs=1, score_prompt=True)
        generation = Generation(session, caches, request)
        assert list(generation) == []
        assert [scored.id for scored in generation.prompt_scores] == ids[1:]
        assert generation.cached == 0
    likely = np.log(np.exp(5) / (np.exp(5) + np.exp(4) + SIZES.tokens - 2))
    assert np.isclose(generation.prompt_scores[0].logprob, likely)
