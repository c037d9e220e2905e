"""Samples of problems: written, judged a few at a time, and summed up."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ...runtime.engine.sampling import Sampling
from ...runtime.errors import PromptError
from .figures import KS, interval, pass_at_k
from .forms import Solution, Writer
from .judging.sandbox import FAILED, PASSED, TIMED_OUT, Sandbox, Verdict
from .problems import Problem
from .results import Record

TOO_LONG = "too long"  # the prompt does not fit the context: nothing was generated
BACKLOG = 4  # programs a job that may wait to be judged

Write = Callable[[Problem, int], Solution]
Slot = tuple[Problem, int]


def canonical(problem: Problem, _sample: int) -> Solution:
    """Return the published solution."""
    return Solution(problem.canonical_solution, problem.published)


def empty(problem: Problem, _sample: int) -> Solution:
    """Return a solution without a completion."""
    return Solution("", problem.prompt + problem.suffix)


def sampled(writer: Writer, sampling: Sampling, seed: int) -> Write:
    """Return what writes a sample with a seed of its own, so that a resumed run draws the same."""

    def write(problem: Problem, sample: int) -> Solution:
        digest = hashlib.sha256(f"{seed}/{problem.task_id}/{sample}".encode()).digest()
        own = {**vars(sampling), "seed": int.from_bytes(digest[:6], "big")}
        return writer.write(problem, Sampling(**own))

    return write


def slots(problems: Iterable[Problem], samples: int, done: Iterable[Record]) -> list[Slot]:
    """Return the samples that are still to be made."""
    made = {(record["task_id"], record["sample"]) for record in done}
    return [
        (problem, sample)
        for problem in problems
        for sample in range(samples)
        if (problem.task_id, sample) not in made
    ]


def judged(todo: Sequence[Slot], write: Write, sandbox: Sandbox, jobs: int) -> Iterator[Record]:
    """Yield the record of each sample, in order; the next ones are written meanwhile."""
    waiting: deque[Future[Record]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for problem, sample in todo:
            waiting.append(_submit(pool, problem, sample, write, sandbox))
            while waiting and (waiting[0].done() or len(waiting) > BACKLOG * jobs):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor, problem: Problem, sample: int, write: Write, sandbox: Sandbox
) -> Future[Record]:
    try:
        solution = write(problem, sample)
    except PromptError as error:
        verdict = Verdict(TOO_LONG, str(error))
        return pool.submit(_record, problem, sample, Solution("", ""), lambda: verdict)
    task = problem.task(solution.program)
    return pool.submit(_record, problem, sample, solution, lambda: sandbox.judge(task))


def _record(
    problem: Problem, sample: int, solution: Solution, judge: Callable[[], Verdict]
) -> Record:
    verdict = judge()
    return {
        "task_id": problem.task_id,
        "sample": sample,
        "outcome": verdict.outcome,
        "detail": verdict.detail,
        "completion": solution.completion,
        "finish": solution.finish,
        "new_tokens": solution.new_tokens,
    }


def of_run(records: Iterable[Record], problems: Iterable[Problem], samples: int) -> list[Record]:
    """Return the records of these problems' first `samples`; a file may hold more."""
    ids = {problem.task_id for problem in problems}
    return [record for record in records if record["task_id"] in ids and record["sample"] < samples]


def passed_by_problem(records: Iterable[Record]) -> dict[str, list[bool]]:
    """Return for each problem whether its samples passed."""
    passed: dict[str, list[bool]] = {}
    for record in records:
        passed.setdefault(record["task_id"], []).append(record["outcome"] == PASSED)
    return passed


def summarize(records: Sequence[Record]) -> dict[str, Any]:
    """Return the figures of a run: counts of outcomes, pass@k in percent, its 95 % interval."""
    tallies = [(len(passed), sum(passed)) for passed in passed_by_problem(records).values()]
    fewest = min((samples for samples, _ in tallies), default=0)
    outcomes = Counter(record["outcome"] for record in records)
    figures: dict[str, Any] = {
        "problems": len(tallies),
        "samples": len(records),
        "outcomes": {name: outcomes[name] for name in (PASSED, FAILED, TIMED_OUT, TOO_LONG)},
        "cut_at_max_tokens": sum(record["finish"] == "length" for record in records),
        "pass_at": {},
    }
    for k in (k for k in KS if k <= fewest):
        chances = [100 * pass_at_k(samples, passed, k) for samples, passed in tallies]
        figures["pass_at"][str(k)] = {
            "percent": sum(chances) / len(chances),
            "interval": interval(chances),
        }
    return figures
