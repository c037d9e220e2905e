"""pass@k, McNemar and the bootstrap, against what they mean."""

from itertools import combinations, product

import pytest

from refact_edge.quant.eval.figures import interval, mcnemar, pass_at_k


@pytest.mark.parametrize("samples", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_pass(samples: int) -> None:
    for passed in range(samples + 1):
        outcomes = [True] * passed + [False] * (samples - passed)
        for k in range(1, samples + 1):
            draws = [any(draw) for draw in combinations(outcomes, k)]
            assert pass_at_k(samples, passed, k) == pytest.approx(sum(draws) / len(draws))


def test_pass_at_k_of_many_samples_neither_overflows_nor_loses_the_last_digit() -> None:
    assert pass_at_k(200, 1, 100) == pytest.approx(0.5)
    assert pass_at_k(200, 0, 100) == 0
    assert pass_at_k(200, 101, 100) == 1


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (3, 3), (1, 6), (8, 2), (0, 5)])
def test_mcnemar_is_the_share_of_coin_tosses_at_least_as_uneven(only_a: int, only_b: int) -> None:
    pairs = only_a + only_b
    uneven = abs(only_a - only_b)
    tosses = [abs(2 * sum(toss) - pairs) >= uneven for toss in product((0, 1), repeat=pairs)]
    assert mcnemar(only_a, only_b) == pytest.approx(sum(tosses) / len(tosses))
    assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a)


def test_the_interval_holds_the_mean_narrows_with_more_values_and_repeats() -> None:
    few, many = [0.0, 1.0] * 10, [0.0, 1.0] * 200
    low, high = interval(few)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 20**0.5, rel=0.15)
    narrow = interval(many)
    assert narrow[1] - narrow[0] < (high - low) / 3
    assert interval(few) == (low, high)
