"""Samples: which are still to be made, in what order they come, what they sum up to."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from refact_edge.quant.eval.forms import Solution
from refact_edge.quant.eval.judging.sandbox import FAILED, PASSED, Task, Verdict
from refact_edge.quant.eval.problems import Problem
from refact_edge.quant.eval.samples import (
    TOO_LONG,
    canonical,
    empty,
    judged,
    of_run,
    sampled,
    slots,
    summarize,
)
from refact_edge.runtime.engine.sampling import Sampling
from refact_edge.runtime.errors import PromptError

PROBLEMS = [
    Problem(f"p/{i}", "def f():\n    return ", f"{i}\n", "def check(c): pass\n", "f", "# end\n")
    for i in range(5)
]


class Judge:
    """Passes programs that return an even number; the first ones take longest."""

    def judge(self, task: Task) -> Verdict:
        number = int(task.program.split()[3])
        time.sleep((5 - number) * 0.01)
        return Verdict(PASSED if number % 2 == 0 else FAILED)


def _judged(todo: Any, write: Any, jobs: int = 3) -> list[dict[str, Any]]:
    return list(judged(todo, write, Judge(), jobs))  # type: ignore[arg-type] # all that it needs


def test_canonical_and_empty_make_the_program_of_the_file() -> None:
    assert canonical(PROBLEMS[3], 0).program == "def f():\n    return 3\n# end\n"
    assert empty(PROBLEMS[3], 0).program == "def f():\n    return # end\n"


def test_records_come_in_order_however_long_each_takes() -> None:
    records = _judged(slots(PROBLEMS, 2, []), canonical)
    assert [(r["task_id"], r["sample"]) for r in records] == [
        (p.task_id, sample) for p in PROBLEMS for sample in range(2)
    ]
    assert [r["outcome"] for r in records[::2]] == [PASSED, FAILED, PASSED, FAILED, PASSED]


def test_what_was_done_is_not_done_again_and_what_is_not_asked_for_not_counted() -> None:
    done = _judged(slots(PROBLEMS, 2, []), canonical)
    assert slots(PROBLEMS, 2, done) == []
    assert slots(PROBLEMS, 3, done) == [(p, 2) for p in PROBLEMS]
    assert len(of_run(done, PROBLEMS[:2], 1)) == 2


def test_a_prompt_that_does_not_fit_is_a_sample_that_failed() -> None:
    def refuse(_problem: Problem, _sample: int) -> Solution:
        raise PromptError("too many tokens")

    records = _judged(slots(PROBLEMS[:1], 1, []), refuse)
    assert (records[0]["outcome"], records[0]["detail"]) == (TOO_LONG, "too many tokens")
    assert summarize(records)["pass_at"]["1"]["percent"] == 0


def test_a_bug_in_writing_is_not_swallowed() -> None:
    def broken(_problem: Problem, _sample: int) -> Solution:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _judged(slots(PROBLEMS, 1, []), broken)


def test_each_sample_has_a_seed_of_its_own_that_a_resumed_run_has_again() -> None:
    seeds: list[int | None] = []
    writer: Any = SimpleNamespace(write=lambda _problem, sampling: seeds.append(sampling.seed))
    for seed in (1, 1, 2):
        write = sampled(writer, Sampling(temperature=0.8), seed)
        for problem, sample in slots(PROBLEMS, 3, []):
            write(problem, sample)
    first, again, other = seeds[:15], seeds[15:30], seeds[30:]
    assert first == again
    assert len({*first, *other}) == 30


def test_pass_at_k_is_given_for_each_k_that_the_samples_allow() -> None:
    records = _judged(slots(PROBLEMS, 10, []), canonical, jobs=8)
    figures = summarize(records)
    assert {k: v["percent"] for k, v in figures["pass_at"].items()} == {"1": 60.0, "10": 60.0}
    assert (figures["problems"], figures["samples"]) == (5, 50)
    assert figures["outcomes"] == {PASSED: 30, FAILED: 20, "timed out": 0, TOO_LONG: 0}
    assert summarize([]) == {
        "problems": 0,
        "samples": 0,
        "outcomes": {PASSED: 0, FAILED: 0, "timed out": 0, TOO_LONG: 0},
        "cut_at_max_tokens": 0,
        "pass_at": {},
    }
