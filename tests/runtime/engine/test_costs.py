"""What a step with guesses costs, learned from steps."""

import pytest

from refact_edge.runtime.engine.costs import MOST_TOKENS, StepCosts


def test_before_a_step_was_seen_a_table_is_assumed() -> None:
    costs = StepCosts()
    assert costs.of(1) == 1
    assert [costs.of(tokens) for tokens in range(1, MOST_TOKENS)] == sorted(
        costs.of(tokens) for tokens in range(1, MOST_TOKENS)
    )


def test_steps_that_take_longer_stretch_the_whole_table() -> None:
    costs, assumed = StepCosts(), StepCosts()
    for _ in range(30):
        costs.learn(1, 0.020)
        costs.learn(2, 0.020 * (1 + 2 * (assumed.of(2) - 1)))
    for tokens in (2, 4, 16):
        assert costs.of(tokens) - 1 == pytest.approx(2 * (assumed.of(tokens) - 1), rel=0.01)


def test_one_step_out_of_order_changes_little() -> None:
    costs, assumed = StepCosts(), StepCosts()
    costs.learn(1, 0.020)
    costs.learn(2, 60.0)
    assert costs.of(4) < 1 + 3 * (assumed.of(4) - 1)


def test_nothing_is_learned_of_prompts_or_before_a_single_token() -> None:
    costs, assumed = StepCosts(), StepCosts()
    costs.learn(4, 1.0)
    costs.learn(1, 0.020)
    costs.learn(MOST_TOKENS + 1, 9.0)
    assert costs.of(4) == assumed.of(4)
