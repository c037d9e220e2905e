"""Rounds of throughput, each in a fresh process, and what they sum up to.

Every round measures everything, so that whatever else the machine does meets all figures alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ..bundle.contract import Bundle
from ..bundle.verified import verify
from ..errors import DeviceError, RefactEdgeError
from ..opening.machine import this_machine
from ..opening.open import OpenOptions
from ..opening.plan import Wishes, plan
from .bandwidth import thread_count, weights_read_bytes
from .figures import Decode, MemoryUse, Prefill, Spread, Throughput
from .memory import Memory
from .passes import Advance, Workload

WORKER = "refact_edge.runtime.bench.worker"


@dataclass(frozen=True)
class Round:
    """What one process measured."""

    engine: str  # in words
    cold_start_ms: float
    prefill_ms: dict[int, float]
    decode_ms: dict[int, float]
    memory: Memory
    read_bandwidth_bytes_per_s: float


@dataclass(frozen=True)
class Subject:
    """What is measured: a variant of a bundle, on so many threads of a machine."""

    bundle: Path
    variant: str
    engine: str  # one of `opening.int4.ENGINES`
    threads: int
    cpu: str
    weights_read_bytes: int  # a token


def subject_of(
    bundle: Bundle, variant: str | None, threads: int | None, cpu: str, engine: str
) -> Subject:
    """Return what is measured of a bundle: what `load` would plan, on as many threads.

    Raises:
        OptionError: when the bundle lacks the variant, or `threads` is not positive, or the engine
            cannot be had.
        BundleError: when files of the variant are missing, or none is chosen on a CPU by itself.
        MissingExtraError: when an engine is not installed.

    """
    chosen = plan(bundle, Wishes(variant, "cpu", engine), this_machine())
    for part in chosen.parts:
        verify(bundle, part, hashes=False)
    options = OpenOptions(threads)
    return Subject(
        bundle=bundle.path,
        variant=chosen.variant,
        engine=engine,
        threads=options.threads or thread_count(),
        cpu=cpu,
        weights_read_bytes=weights_read_bytes(bundle, chosen.parts[-1]),
    )


def run_round(
    subject: Subject,
    workload: Workload,
    advance: Advance,
    clock: Callable[[], float] = perf_counter,
) -> Round:
    """Start a process, and return what it measured and how long it took to its first token.

    Raises:
        RefactEdgeError: with what stopped it.
        DeviceError: when the system ended it, as for want of memory.

    """
    arguments = (subject.bundle, subject.variant, subject.threads, workload.longest, subject.engine)
    start, ready, result = clock(), 0.0, None
    with _started([sys.executable, "-m", WORKER, *map(str, arguments)]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            ((kind, content),) = json.loads(line).items()
            if kind == "ready":
                ready = clock()
            elif kind == "advance":
                advance(content)
            elif kind == "error":
                raise RefactEdgeError(content)
            else:
                result = _round(content, 1e3 * (ready - start))
        code = process.wait()
    if code < 0:
        raise DeviceError(
            f"the system ended the measuring process (signal {-code}), perhaps for want of memory; "
            "take a smaller variant or --longest"
        )
    if result is None:
        raise RuntimeError(f"the measuring process ended with {code}")
    return result


def summarize(subject: Subject, workload: Workload, rounds: Sequence[Round]) -> Throughput:
    """Sum up rounds; shares of the limit compare figures of the same round."""
    limits = [1e3 * subject.weights_read_bytes / one.read_bandwidth_bytes_per_s for one in rounds]
    return Throughput(
        bundle=str(subject.bundle),
        variant=subject.variant,
        engine=rounds[0].engine,
        device="cpu",
        threads=subject.threads,
        cpu=subject.cpu,
        rounds=len(rounds),
        read_bandwidth_bytes_per_s=Spread.of(one.read_bandwidth_bytes_per_s for one in rounds),
        weights_read_bytes=subject.weights_read_bytes,
        limit_ms=Spread.of(limits),
        prefill=tuple(
            Prefill(
                length,
                Spread.of(one.prefill_ms[length] for one in rounds),
                Spread.of(1e3 * length / one.prefill_ms[length] for one in rounds),
            )
            for length in workload.lengths
        ),
        decode=tuple(
            Decode(
                depth,
                Spread.of(one.decode_ms[depth] for one in rounds),
                Spread.of(1e3 / one.decode_ms[depth] for one in rounds),
                Spread.of(
                    limit / one.decode_ms[depth] for limit, one in zip(limits, rounds, strict=True)
                ),
            )
            for depth in workload.depths
        ),
        cold_start_ms=Spread.of(one.cold_start_ms for one in rounds),
        memory=MemoryUse(
            workload.longest,
            _spread([one.memory.anonymous_bytes for one in rounds]),
            _spread([one.memory.mapped_bytes for one in rounds]),
            _spread([one.memory.peak_bytes for one in rounds]),
        ),
    )


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process, and end it when what is done with it ends.

    In a session or group of its own it does not see Ctrl-C, of which it would have something to
    say.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **_alone()
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # of one that has ended, nothing


def _alone() -> dict[str, Any]:
    """Return what keeps a process from getting the terminal's Ctrl-C."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _round(content: dict[str, Any], cold_start_ms: float) -> Round:
    return Round(
        engine=content["engine"],
        cold_start_ms=cold_start_ms,
        prefill_ms=dict(content["prefill_ms"]),
        decode_ms=dict(content["decode_ms"]),
        memory=Memory(**content["memory"]),
        read_bandwidth_bytes_per_s=content["read_bandwidth_bytes_per_s"],
    )


def _spread(values: Sequence[int | None]) -> Spread | None:
    numbers = [value for value in values if value is not None]
    return Spread.of(numbers) if numbers else None
