"""The published files: every published solution passes, and next to nothing passes for empty."""

import os
from pathlib import Path

import pytest

from refact_edge.quant.eval.judging.sandbox import Sandbox
from refact_edge.quant.eval.problems import Benchmark, read_benchmark
from refact_edge.quant.eval.samples import Write, canonical, empty, judged, slots
from refact_edge.runtime.errors import SandboxError

HUMANEVAL, SINGLE_LINE, RANDOM_SPAN = (
    "HumanEval", "HumanEval-SingleLineInfilling", "HumanEval-RandomSpanInfillingLight",
)  # fmt: skip
# Of the 1033 problems with one line, every so many; `make eval-canonical` takes all.
EVERY = int(os.environ.get("REFACT_EDGE_EVERY", "12"))
SIZES = {HUMANEVAL: 164, SINGLE_LINE: 1033, RANDOM_SPAN: 164}
# Blank and needless lines are all that may be left out.
EMPTY_PASSES = {1: 27, 12: 2}


def _sandbox(timeout_s: float) -> Sandbox:
    try:
        return Sandbox(timeout_s)
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return _sandbox(60)  # the machine may be busy, and none of these is to be cut off


@pytest.fixture(scope="session")
def benchmarks(shared_data: Path) -> dict[str, Benchmark]:
    folder = shared_data / "humaneval"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the published problems")
    names = (HUMANEVAL, SINGLE_LINE, RANDOM_SPAN)
    return {
        name: read_benchmark(folder / f"{name}.jsonl.gz", infilling=name != HUMANEVAL)
        for name in names
    }


def _passed(benchmark: Benchmark, write: Write, sandbox: Sandbox, every: int) -> list[str]:
    todo = slots(benchmark.problems[::every], 1, [])
    records = list(judged(todo, write, sandbox, os.cpu_count() or 1))
    assert len(records) == len(todo)
    return [record["task_id"] for record in records if record["outcome"] == "passed"]


def test_the_files_are_whole(benchmarks: dict[str, Benchmark]) -> None:
    assert {name: len(benchmark.problems) for name, benchmark in benchmarks.items()} == SIZES


@pytest.mark.parametrize(
    ("name", "every"), [(HUMANEVAL, 1), (SINGLE_LINE, EVERY), (RANDOM_SPAN, 1)]
)
def test_every_published_solution_passes(
    name: str, every: int, benchmarks: dict[str, Benchmark], sandbox: Sandbox
) -> None:
    expected = [problem.task_id for problem in benchmarks[name].problems[::every]]
    assert _passed(benchmarks[name], canonical, sandbox, every) == expected


@pytest.mark.parametrize("name", [HUMANEVAL, RANDOM_SPAN])
def test_no_empty_completion_passes(name: str, benchmarks: dict[str, Benchmark]) -> None:
    # Some loop for ever; that the right ones pass in this time is not the question here.
    assert _passed(benchmarks[name], empty, _sandbox(2), min(EVERY, 4)) == []


def test_an_empty_line_passes_only_where_it_is_needless(benchmarks: dict[str, Benchmark]) -> None:
    if EVERY not in EMPTY_PASSES:
        pytest.skip(f"how many pass of every {EVERY}th is not known")
    passed = _passed(benchmarks[SINGLE_LINE], empty, _sandbox(4), EVERY)
    assert len(passed) == EMPTY_PASSES[EVERY], passed
