"""Drawing tokens: each filter by itself, and the seed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refact_edge.runtime.engine.sampling import GREEDY, Sampler, Sampling, candidates, penalize
from refact_edge.runtime.errors import OptionError

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3])).astype(np.float32)
ALL = Sampling(temperature=1.0, top_k=0)


def _remaining(**settings: Any) -> list[int]:
    ids, probabilities = candidates(LOGITS.astype(np.float64), replace(ALL, **settings))
    assert probabilities.sum() == pytest.approx(1)
    assert np.all(np.diff(probabilities) <= 0)
    return sorted(ids.tolist())


def test_without_filters_the_distribution_is_softmax() -> None:
    ids, probabilities = candidates(LOGITS.astype(np.float64), ALL)
    assert ids.tolist() == [1, 3, 2, 0]
    np.testing.assert_allclose(probabilities, [0.4, 0.3, 0.2, 0.1], rtol=1e-6)


def test_temperature_sharpens() -> None:
    cool = Sampling(temperature=0.5, top_k=0)
    _, probabilities = candidates(LOGITS.astype(np.float64), cool)
    squares = np.array([0.16, 0.09, 0.04, 0.01])
    np.testing.assert_allclose(probabilities, squares / squares.sum(), rtol=1e-6)


def test_top_k_keeps_exactly_k_even_among_ties() -> None:
    assert _remaining(top_k=2) == [1, 3]
    ids, _ = candidates(np.zeros(10), Sampling(temperature=1, top_k=3))
    assert len(set(ids.tolist())) == 3


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert _remaining(top_p=0.39) == [1]
    assert _remaining(top_p=0.6) == [1, 3]
    assert _remaining(top_p=0.95) == [0, 1, 2, 3]


def test_min_p_is_a_share_of_the_likeliest() -> None:
    assert _remaining(min_p=0.6) == [1, 3]


def test_below_the_threshold_it_is_greedy() -> None:
    assert Sampler(Sampling(temperature=0.04)).pick(LOGITS, []) == 1
    assert Sampler(GREEDY).pick(LOGITS, [], forbidden=[1]) == 3


def test_the_same_seed_draws_the_same_ids_and_another_does_not() -> None:
    def draw(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(temperature=1, top_k=0, seed=seed))
        return [sampler.pick(LOGITS, []) for _ in range(50)]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert draw(None) != draw(None)


def test_draws_follow_the_distribution() -> None:
    sampler = Sampler(Sampling(temperature=1, top_k=0, seed=0))
    counts = np.bincount([sampler.pick(LOGITS, []) for _ in range(4000)], minlength=4)
    np.testing.assert_allclose(counts / 4000, [0.1, 0.4, 0.2, 0.3], atol=0.03)


def test_repetition_penalty_lowers_scores_of_either_sign() -> None:
    scores = penalize(np.array([2.0, -2.0, 2.0]), [0, 1, 0], 2.0)
    np.testing.assert_array_equal(scores, [1.0, -4.0, 2.0])


def test_every_value_out_of_range_is_listed() -> None:
    with pytest.raises(OptionError, match="temperature -1; expected 0 to 100; top_p 0; expected"):
        Sampling(temperature=-1, top_p=0)
    with pytest.raises(OptionError, match="min_p 1"):
        Sampling(min_p=1)


def test_penalties_count_what_was_drawn_and_not_the_prompt() -> None:
    logits = np.array([3.0, 2.9, 2.0, 0.0], np.float32)
    once = Sampler(Sampling(temperature=0, presence_penalty=0.2))
    # Taken once and then as good as never: what is drawn again is not lowered further.
    assert [once.pick(logits, [0, 0, 0]) for _ in range(4)] == [0, 1, 0, 0]
    each = Sampler(Sampling(temperature=0, frequency_penalty=0.2))
    assert [each.pick(logits, []) for _ in range(6)] == [0, 1, 0, 1, 0, 1]
    favoured = Sampler(Sampling(temperature=0, presence_penalty=-2))
    assert [favoured.pick(logits, []) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("value", [float("inf"), 1e300, float("nan")])
def test_numbers_that_would_overflow_are_refused(value: float) -> None:
    with pytest.raises(OptionError, match="temperature"):
        Sampling(temperature=value)
    with pytest.raises(OptionError, match="repetition_penalty"):
        Sampling(repetition_penalty=value)
