"""Spending bytes where they save most."""

from itertools import product

import numpy as np
import pytest

from refact_edge.quant.mix import Choice, best_within, mixes, size_of
from refact_edge.quant.schemes import Blocks
from refact_edge.runtime.errors import OptionError

SMALL, MIDDLE, LARGE = Blocks(4, 128), Blocks(4, 32), Blocks(8, 128)


def _options(*pairs: tuple[int, float]) -> list[Choice]:
    forms = (SMALL, MIDDLE, LARGE)
    return [Choice(form, *pair) for form, pair in zip(forms, pairs, strict=False)]


def test_the_weight_that_loses_most_a_byte_is_improved_first() -> None:
    choices = {"quiet": _options((10, 2.0), (20, 1.0)), "loud": _options((10, 90.0), (20, 3.0))}
    found = best_within(choices, 30)
    assert {name: choice.form for name, choice in found.items()} == {"quiet": SMALL, "loud": MIDDLE}
    assert size_of(found) == 30


def test_a_form_that_is_not_worth_its_bytes_is_skipped() -> None:
    choices = {"w": _options((10, 10.0), (19, 9.5), (20, 1.0))}
    assert [mix["w"].form for mix in mixes(choices)] == [SMALL, LARGE]
    worse = {"w": _options((10, 5.0), (12, 6.0), (30, 5.0))}
    assert [mix["w"].form for mix in mixes(worse)] == [SMALL]


def test_every_mix_on_the_way_is_the_best_of_its_size() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        choices = {
            name: _options(*((int(size), float(loss)) for size, loss in zip(
                np.cumsum(random.integers(1, 20, 3)), sorted(random.uniform(0, 9, 3))[::-1],
                strict=True,
            )))
            for name in "abcd"
        }  # fmt: skip
        every = [dict(zip(choices, picked, strict=True)) for picked in product(*choices.values())]
        for mix in mixes(choices):
            loss = sum(choice.loss for choice in mix.values())
            rivals = [other for other in every if size_of(other) <= size_of(mix)]
            assert loss <= min(sum(c.loss for c in other.values()) for other in rivals) + 1e-9


def test_a_step_too_large_for_what_is_left_does_not_end_the_spending() -> None:
    choices = {
        "large": [Choice(SMALL, 100, 50.0), Choice(LARGE, 300, 1.0)],
        "little": [Choice(SMALL, 10, 1.0), Choice(LARGE, 20, 0.9)],
    }
    found = best_within(choices, 150)
    assert (found["large"].form, found["little"].form) == (SMALL, LARGE)


def test_a_budget_that_cannot_be_met_names_the_smallest_that_can() -> None:
    choices = {"a": _options((10, 2.0), (20, 1.0)), "b": _options((1500, 2.0))}
    with pytest.raises(OptionError, match=r"at most 1,000 bytes; the smallest has 1,510"):
        best_within(choices, 1000)
    with pytest.raises(OptionError, match=r"at most 1,510 bytes; the smallest has 1,511"):
        best_within(choices, 1510, fixed_bytes=1)
