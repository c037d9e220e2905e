"""Guesses from what stood before, and that they change nothing but the number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import SIZES, CountingSession

import refact_edge
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.costs import StepCosts
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.lookup import MOST, NO_ID, Lookup, best_count
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY, Sampling

STEP_COSTS = ((1, 2, 4, 8, 16), (1.0, 1.06, 1.38, 2.19, 3.74))  # graph's, int4 at the 1.6B shape


class ChainSession(CountingSession):
    """What comes next depends on the last two ids, and is now and then a close call."""

    def step(self, ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        super().step(ids, cache, keep)
        rows = []
        for end in range(len(cache.ids) - keep + 1, len(cache.ids) + 1):
            before = cache.ids[max(0, end - 2) : end]
            rows.append(np.random.default_rng([7, *before]).normal(0, 4, self.sizes.vocabulary))
        return np.array(rows, np.float32)


def _generate(
    prompt: list[int], texts: Sequence[Sequence[int]] | None, sampling: Sampling, max_new: int = 60
) -> tuple[list[int], Generation, list[int]]:
    session = ChainSession()
    request = Request(prompt, sampling, max_new, frozenset({0}), texts=texts)
    generation = Generation(session, PrefixCache(session.new_cache), request)
    return list(generation), generation, session.steps


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_guesses_change_no_id_whether_greedy_or_drawn(seed: int, temperature: float) -> None:
    prompt = np.random.default_rng(seed).integers(1, SIZES.tokens, 40).tolist()
    sampling = Sampling(temperature=temperature, top_k=0, seed=seed)
    plain, without, _ = _generate(prompt, None, sampling)
    # As good as can be, and as bad: the very text that comes, and a shuffled one.
    for texts in ([plain, prompt], [plain[::-1], prompt]):
        guessed, generation, _ = _generate(prompt, texts, sampling)
        assert guessed == plain
        assert generation.finish == without.finish
        assert generation.accepted <= generation.drafted


def test_text_that_stood_before_takes_fewer_steps() -> None:
    prompt = np.random.default_rng(3).integers(1, SIZES.tokens, 40).tolist()
    plain, without, single = _generate(prompt, None, GREEDY)
    assert (without.drafted, len(single)) == (0, len(plain) + (without.finish == "stop"))
    guessed, generation, steps = _generate(prompt, [[*prompt, *plain], prompt], GREEDY)
    assert guessed == plain
    assert len(steps) < len(single) / 2
    assert generation.accepted > len(plain) / 2
    assert sum(steps) == len(prompt) + generation.drafted + len(steps) - 1


def test_what_was_written_a_keystroke_ago_is_guessed_again() -> None:
    session = ChainSession()
    caches = PrefixCache(session.new_cache)

    def write(prompt: list[int]) -> Generation:
        # Longer than the text: what follows the prompt in the cache was the last answer.
        request = Request(prompt, GREEDY, 30, frozenset({0}), texts=[prompt])
        list(generation := Generation(session, caches, request))
        return generation

    prompt = np.random.default_rng(3).integers(1, SIZES.tokens, 40).tolist()
    first = write(prompt)
    again = write(prompt)
    assert again.new_ids == first.new_ids
    assert again.accepted > first.accepted
    typed = write([*prompt, *first.new_ids[:2]])
    assert typed.new_ids[: len(first.new_ids) - 2] == first.new_ids[2:]
    assert typed.accepted > len(typed.new_ids) / 2


def test_the_latest_of_the_longest_matches_is_followed() -> None:
    #               one id in common    two, older       two, latest
    lookup = Lookup([2, 9, 9, NO_ID, 1, 2, 7, 7, NO_ID, 1, 2, 8, 8, NO_ID, 1, 2], room=4)
    assert lookup.draft(2)[0] == 8
    lookup.add(8)
    assert lookup.draft(4) == [8]  # and not beyond the end of that text


def test_a_text_in_circles_is_guessed_to_go_on() -> None:
    lookup = Lookup([5, 6] * 10, room=1)
    guesses = lookup.draft(4)
    assert len(guesses) >= 3  # more than the match is away from the end
    assert guesses == [5, 6, 5, 6][: len(guesses)]


@pytest.mark.parametrize("ids", [[], [4], [4, 5, 6, 7]])
def test_nothing_is_guessed_where_nothing_matches(ids: list[int]) -> None:
    assert Lookup(ids, room=1).draft(8) == []
    assert Lookup([4, 4, 4], room=1).draft(0) == []
    assert Lookup([4, 4, 4], room=1, most=0).draft(8) == []


def test_the_demo_model_writes_the_same_with_and_without_guesses(
    demo_bundle: Path, root: Path
) -> None:
    plain, guessing = (
        refact_edge.load(demo_bundle, variant="fp32", lookup=lookup) for lookup in (False, True)
    )
    text = (root / "quant" / "texts" / "report-set" / "loaders.py.txt").read_text()
    accepted = 0
    for at in range(400, 3600, 400):
        texts = []
        for model in (plain, guessing):
            stream = model.complete(
                text[:at], text[at + 80 :], max_tokens=40, stop=(), sampling=GREEDY
            )
            texts.append("".join(stream))
        accepted += stream.usage.accepted
        assert texts[0] == texts[1]
    assert accepted > 20


def _cost(next_id: Callable[[int], int], before: list[int], count: int) -> float:
    """Return what `count` ids cost in steps, guesses included, as a multiple of no guesses."""
    lookup = Lookup(before, count)
    lookup.add(next_id(0))
    done, cost = 1, 1.0
    while done < count:
        guesses = lookup.draft(count - done - 1)
        cost += float(np.interp(1 + len(guesses), *STEP_COSTS))
        held = 0
        while held < len(guesses) and guesses[held] == next_id(done + held):
            held += 1
        for at in range(done, done + held + 1):
            lookup.add(next_id(at))
        lookup.learn(len(guesses), held)
        done += held + 1
    return cost / count


@pytest.mark.parametrize("count", [16, 64, 256])
def test_guesses_that_never_hold_cost_less_than_a_twentieth(count: int) -> None:
    # Every id stood before, and what followed it is never what comes.
    numbers = np.random.default_rng(0)
    before = numbers.integers(0, 40, 4000).tolist()
    coming = numbers.integers(0, 40, count).tolist()
    assert _cost(lambda at: coming[at], before, count) < 1.05


def test_a_copied_text_costs_less_than_half() -> None:
    text = list(range(100, 164))
    assert _cost(lambda at: text[at], [5, *text, 7, 5], 64) < 0.5


def test_more_is_guessed_the_likelier_it_holds() -> None:
    costs = StepCosts()
    counts = [best_count([chance] * MOST, costs) for chance in (0.0, 0.3, 0.6, 0.9, 0.99)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == MOST
    assert best_count([0.99] * 3, costs) == 3


def test_less_is_guessed_where_steps_with_guesses_take_long() -> None:
    costs = StepCosts()
    usual = best_count([0.7] * MOST, costs)
    for _ in range(20):
        costs.learn(1, 0.040)
        costs.learn(4, 0.110)
    assert costs.of(4) == pytest.approx(110 / 40, rel=0.05)
    assert 0 <= best_count([0.7] * MOST, costs) < usual


def test_what_the_model_wrote_is_followed_before_what_it_read() -> None:
    #               an earlier answer   a text with as long a match, and later
    ids = [1, 2, 8, 8, NO_ID, 1, 2, 7, 7, NO_ID, 1, 2]
    assert Lookup(ids, room=4, generated=4).draft(1) == [8]
    assert Lookup(ids, room=4).draft(1) == [7]
