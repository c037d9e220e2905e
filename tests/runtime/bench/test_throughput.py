"""Passes, bandwidth, memory, and what rounds of them sum up to."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from fakes import SIZES, CountingSession

from refact_edge.runtime.bench import rounds
from refact_edge.runtime.bench.bandwidth import read_bandwidth, thread_count, weights_read_bytes
from refact_edge.runtime.bench.figures import Spread, Throughput
from refact_edge.runtime.bench.memory import Memory, memory_now
from refact_edge.runtime.bench.passes import DECODED, Workload, run_pass, workload_for
from refact_edge.runtime.bench.plot import check_plot, write_plot
from refact_edge.runtime.bench.rounds import Round, Subject, subject_of, summarize
from refact_edge.runtime.bench.table import throughput_lines
from refact_edge.runtime.bundle.contract import engine_graph, read_bundle
from refact_edge.runtime.errors import OptionError


def test_a_plan_holds_what_fits_the_context() -> None:
    assert workload_for(4096) == Workload((128, 512, 1024, 2048, 4080), (64, 512, 2048))
    assert workload_for(640) == Workload((128, 512, 624), (64, 512))
    assert workload_for(8192).longest == 4096
    assert workload_for(4096, 512) == Workload((128, 512), (64, 512))
    assert workload_for(4096, 40) == Workload((40,), (40,))
    for longest in (0, 4081):
        with pytest.raises(OptionError, match=f"longest {longest}; expected 1 to 4080"):
            workload_for(4096, longest)


def test_a_pass_times_every_length_and_depth_by_the_steps_it_takes() -> None:
    session = CountingSession(replace(SIZES, context=700))
    advances: list[int] = []

    def clock() -> float:  # a millisecond a step, and another hundredth a token
        return 1e-3 * len(session.steps) + 1e-5 * sum(session.steps)

    workload = workload_for(700)
    figures = run_pass(session, workload, advances.append, clock)
    expected = {128: 1.0 + 1.28, 512: 4 + 5.12, 684: 6 + 6.84}
    assert figures.prefill_ms == pytest.approx(expected)
    assert figures.decode_ms == pytest.approx({64: 1.01, 512: 1.01})
    assert sum(advances) == workload.work_tokens == 684 + 2 * DECODED
    warm = [128, 1]
    assert session.steps == [*warm, 128, 128, 128, 128, 128, 44, *[1] * 2 * DECODED]


def test_a_short_plan_decodes_behind_its_only_prompt() -> None:
    session = CountingSession(SIZES)
    figures = run_pass(session, workload_for(SIZES.context, 5))
    assert figures.prefill_ms.keys() == figures.decode_ms.keys() == {5}


def test_bandwidth_is_bytes_over_the_shortest_pass() -> None:
    times = iter([0.0, 4.0, 10.0, 11.0, 20.0, 22.0, 30.0, 33.0])
    assert read_bandwidth(2, 800, clock=lambda: next(times)) == 800
    assert thread_count() >= 1


@pytest.mark.parametrize("variant", ["fp32", "fp16", "int8", "int4"])
def test_a_token_reads_all_weights_but_the_table_of_ids(variant: str, tiny_bundle: Path) -> None:
    model = onnx.load(tiny_bundle / engine_graph(variant), load_external_data=False)
    lengths = {
        tensor.name: int({entry.key: entry.value for entry in tensor.external_data}["length"])
        for tensor in model.graph.initializer
        if tensor.external_data
    }
    expected = sum(size for name, size in lengths.items() if "embedding" not in name)
    assert 0 < weights_read_bytes(read_bundle(tiny_bundle), variant) == expected
    assert expected < sum(lengths.values())


def test_memory_is_read_from_proc_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "smaps_rollup").write_text(
        "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:  300 kB\nAnonymous:  100 kB\n"
    )
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    400 kB\nThreads:\t2\n")
    assert memory_now(tmp_path) == Memory(100 * 1024, 200 * 1024, 400 * 1024)
    assert memory_now(tmp_path / "absent") == Memory(None, None, None)


@pytest.fixture
def subject(tiny_bundle: Path) -> Subject:
    return Subject(tiny_bundle, "int4", "onnxruntime", 2, "a CPU", 3_000_000)


def _round(factor: float, memory: Memory) -> Round:
    return Round(
        engine="an engine",
        cold_start_ms=1000 * factor,
        prefill_ms={128: 64 * factor},
        decode_ms={64: 4 * factor},
        memory=memory,
        read_bandwidth_bytes_per_s=1.5e9 / factor,
    )


@pytest.fixture
def summed_up(subject: Subject) -> Callable[[Memory], Throughput]:
    return lambda memory: summarize(
        subject, Workload((128,), (64,)), [_round(factor, memory) for factor in (1, 2, 4)]
    )


def test_rounds_sum_up_to_medians_spreads_and_shares_of_their_own_limit(
    summed_up: Callable[[Memory], Throughput],
) -> None:
    figures = summed_up(Memory(10, 20, 30))
    assert figures.limit_ms == Spread(4, 2, 8)
    assert figures.prefill[0].prefill_ms == Spread(128, 64, 256)
    assert figures.prefill[0].tokens_per_s == Spread(1000, 500, 2000)
    assert figures.decode[0].decode_ms == Spread(8, 4, 16)
    assert figures.decode[0].share_of_limit == Spread(0.5, 0.5, 0.5)
    assert figures.cold_start_ms == Spread(2000, 1000, 4000)
    assert figures.memory.peak_bytes == Spread(30, 30, 30)


def test_the_table_says_what_this_system_does_not_tell(
    summed_up: Callable[[Memory], Throughput],
) -> None:
    lines = list(throughput_lines(summed_up(Memory(10_000_000, 20_000_000, None))))
    text = "\n".join(lines)
    assert "int4 on cpu by an engine, 2 threads" in text
    assert "memory is read at 0.8 GB/s (0.4 to 1.5): 3 MB of weights a token take 4 ms" in text
    assert ["128", "128.0", "64.0", "256.0", "1000.0"] in [line.split() for line in lines]
    assert "50% (50% to 50%)" in text
    assert [line.split() for line in lines if "mapped" in line] == [
        ["mapped", "20.0", "20.0", "20.0", "MB", "after", "128", "tokens"]
    ]
    assert [line.strip() for line in lines if "peak" in line] == ["peak not known on this system"]


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_plot_is_the_same_for_the_same_figures(
    ending: str, summed_up: Callable[[Memory], Throughput], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        write_plot(tmp_path / f"{name}.{ending}", summed_up(Memory(1, 2, 3)))
    first, second = (tmp_path / f"{name}.{ending}" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {f"a.{ending}", f"b.{ending}"}


def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(OptionError, match=r"ends with \.svg or \.png"):
        check_plot(tmp_path / "plot.txt")
    with pytest.raises(OptionError, match="cannot be written: No such file"):
        check_plot(tmp_path / "absent" / "plot.svg")
    check_plot(tmp_path / "plot.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_subject_is_what_load_would_choose(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    chosen = subject_of(bundle, None, None, "a CPU", "auto")
    assert (chosen.variant, chosen.threads) == ("int4", thread_count())
    both = subject_of(bundle, "hybrid", 3, "a CPU", "auto")
    assert both.weights_read_bytes == chosen.weights_read_bytes  # int4 writes
    with pytest.raises(OptionError, match="no variant 'int9'"):
        subject_of(bundle, "int9", None, "a CPU", "auto")
    with pytest.raises(OptionError, match="threads 0"):
        subject_of(bundle, None, 0, "a CPU", "auto")


class Kernel:
    """Windows' kernel32, as far as it counts a process's memory."""

    class _Function:
        def __call__(self) -> int:
            return -1

    def __init__(self, answers: bool) -> None:
        self.GetCurrentProcess, self._answers = self._Function(), answers

    def K32GetProcessMemoryInfo(self, process: Any, counters: Any, size: int) -> int:  # noqa: N802
        assert (process.value, size) == (ctypes.c_void_p(-1).value, 72)
        counters._obj.peak_working_set = 12_345
        return int(self._answers)


@pytest.mark.parametrize(("answers", "peak"), [(True, 12_345), (False, None)])
def test_windows_tells_the_peak(
    answers: bool, peak: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Kernel(answers))
    assert memory_now() == Memory(None, None, peak)


def test_macos_tells_the_peak_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(resource, "getrusage", lambda _who: SimpleNamespace(ru_maxrss=9_876))
    assert memory_now() == Memory(None, None, 9_876)


@pytest.mark.parametrize(
    ("system", "option"),
    [("linux", {"start_new_session": True}), ("win32", {"creationflags": 0x200})],
)
def test_a_round_gets_no_ctrl_c_of_the_terminal(
    system: str, option: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, object] = {}

    class Process:
        def __init__(self, command: list[str], **options: object) -> None:
            started.update(options)

        def __enter__(self) -> Process:
            return self

        def __exit__(self, *_: object) -> None: ...

        def kill(self) -> None: ...

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "Popen", Process)
    with rounds._started(["worker"]):
        pass
    assert {name: started.get(name) for name in option} == option
    assert len(started.keys() & {"start_new_session", "creationflags"}) == 1
