"""What a weight is rounded to behind layers that were rounded before."""

import numpy as np

from refact_edge.quant.targets import Drift, aimed

MANY = 10**9  # tokens, so that all that they tell is believed


def _moments(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a.T @ b / len(a), np.float64)


def test_where_nothing_has_gone_astray_nothing_moves() -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (200, 12))
    weight = random.normal(0, 1, (5, 12)).astype(np.float32)
    drift = Drift(_moments(x, x), _moments(x, x), np.zeros((5, 12)), MANY)
    np.testing.assert_allclose(aimed(weight, drift), weight, atol=1e-6)


def test_inputs_that_have_grown_by_half_are_multiplied_by_less() -> None:
    random = np.random.default_rng(1)
    exact = random.normal(0, 1, (5000, 12))
    rounded = 1.5 * exact
    weight = random.normal(0, 1, (5, 12)).astype(np.float32)
    drift = Drift(_moments(rounded, rounded), _moments(exact, rounded), None, MANY)
    got = aimed(weight, drift)
    damped = (1.5 + 0.03 * 2.25) / (2.25 + 0.03 * 2.25)  # C and H, both with H's damping
    np.testing.assert_allclose(got, damped * weight, atol=0.02)


def test_what_the_stream_has_lost_is_added_as_far_as_the_inputs_tell_it() -> None:
    random = np.random.default_rng(2)
    x = random.normal(0, 1, (5000, 12))
    lost = x @ random.normal(0, 1, (12, 5))
    weight = random.normal(0, 1, (5, 12)).astype(np.float32)
    drift = Drift(_moments(x, x), _moments(x, x), _moments(lost, x), MANY)
    made = x @ aimed(weight, drift).T
    left = np.linalg.norm(made - (x @ weight.T + lost)) / np.linalg.norm(lost)
    assert left < 0.04  # the damping's


def test_few_tokens_are_believed_less() -> None:
    x = np.eye(4)
    weight = np.ones((1, 4), np.float32)
    moved = [
        float(aimed(weight, Drift(x, 0 * x, None, tokens)).sum()) for tokens in (100, 16_000, MANY)
    ]
    assert moved[0] > 3.9
    assert moved[0] > moved[1] > moved[2]
    np.testing.assert_allclose(moved[1] - 4, (moved[2] - 4) / 2, rtol=1e-3)


def test_products_come_nearer_to_the_exact_models_than_with_the_exact_weight() -> None:
    random = np.random.default_rng(3)
    exact = random.normal(0, 1, (3000, 24)) @ random.normal(0, 1, (24, 24))
    rounded = exact + random.normal(0, 0.7, exact.shape)
    weight = random.normal(0, 1, (8, 24)).astype(np.float32)
    drift = Drift(_moments(rounded, rounded), _moments(exact, rounded), None, MANY)
    want = exact @ weight.T
    errors = [np.linalg.norm(rounded @ w.T - want) for w in (aimed(weight, drift), weight)]
    assert errors[0] < 0.95 * errors[1]
