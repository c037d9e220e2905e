"""The published files: every published solution passes, and next to nothing passes for empty."""

import os
from pathlib import Path

import pytest

from refact_edge.quant.eval.problems import Benchmark, read_benchmark
from refact_edge.quant.eval.samples import canonical, empty, judged, slots, summarize
from refact_edge.quant.eval.sandbox import Sandbox
from refact_edge.runtime.errors import SandboxError

HUMANEVAL, SINGLE_LINE, RANDOM_SPAN = (
    "HumanEval", "HumanEval-SingleLineInfilling", "HumanEval-RandomSpanInfillingLight",
)  # fmt: skip
EVERY = 12  # of the 1033 problems with one line, every so many; `make eval-canonical` takes all


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


def _passed(benchmark: Benchmark, write: object, sandbox: Sandbox, every: int = 1) -> list[str]:
    todo = slots(benchmark.problems[::every], 1, [])
    records = list(judged(todo, write, sandbox, os.cpu_count() or 1))  # type: ignore[arg-type]
    assert summarize(records)["problems"] == len(todo)
    return [record["task_id"] for record in records if record["outcome"] == "passed"]


def test_the_files_are_whole(benchmarks: dict[str, Benchmark]) -> None:
    sizes = {name: len(benchmark.problems) for name, benchmark in benchmarks.items()}
    assert sizes == {HUMANEVAL: 164, SINGLE_LINE: 1033, RANDOM_SPAN: 164}


@pytest.mark.parametrize(
    ("name", "every", "passing"),
    [(HUMANEVAL, 1, 164), (SINGLE_LINE, EVERY, 87), (RANDOM_SPAN, 1, 164)],
)
def test_every_published_solution_passes(
    name: str, every: int, passing: int, benchmarks: dict[str, Benchmark], sandbox: Sandbox
) -> None:
    assert len(_passed(benchmarks[name], canonical, sandbox, every)) == passing


@pytest.mark.parametrize("name", [HUMANEVAL, RANDOM_SPAN])
def test_no_empty_completion_passes(name: str, benchmarks: dict[str, Benchmark]) -> None:
    # Some loop for ever; that the right ones pass in this time is not the question here.
    assert _passed(benchmarks[name], empty, _sandbox(3)) == []


def test_empty_lines_pass_only_where_the_line_is_needless(
    benchmarks: dict[str, Benchmark], sandbox: Sandbox
) -> None:
    known = {"SingleLineInfilling/HumanEval/20/L0", "SingleLineInfilling/HumanEval/33/L0"}
    problems = benchmarks[SINGLE_LINE].problems
    near = [p for p in problems if p.task_id.split("/")[2] in ("20", "33", "1")]
    found = {
        record["task_id"]
        for record in judged(slots(near, 1, []), empty, sandbox, os.cpu_count() or 1)
        if record["outcome"] == "passed"
    }
    assert known <= found
    assert len(found) < len(near) / 4
