"""What a user can send us of a machine that we do not have: one JSON file, and nobody is in it.

No name of a host or user, no path and no text of theirs: what stands in the file is listed here,
field by field. Nothing is sent.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from ..backends.native import library
from ..backends.native.library import Native
from ..backends.native.selftest import computes_rightly
from ..backends.wheels import onnxruntime_version
from ..bundle.contract import Bundle
from ..errors import OptionError
from ..files.atomic_write import atomic_write
from ..machine.cpu import cpu_name_and_features
from ..opening import machine
from ..opening.cpu_engine import cpu_engine
from .bits import bits_of, same_on_cores, same_on_threads
from .figures import Throughput
from .passes import Advance, Workload
from .products import products_per_s
from .rounds import Round, Subject, run_round, summarize

SCHEMA = 1
ENGINES = ("native", "onnxruntime")
NOT_BUILT = "the native kernels were not built, or cannot be loaded"


@dataclass(frozen=True)
class KindReport:
    """One kind of the native kernels; the same `bits` on two machines are the same results."""

    kind: str
    passes_self_test: bool
    bits: str
    products_per_s: float | None  # one thread, weights in cache; None when too busy to tell


@dataclass(frozen=True)
class Kernels:
    """The native kernels here, the fastest first, the kind or engine that `load` takes, and why."""

    kinds: tuple[KindReport, ...]
    engine: str
    why: str
    same_bits_by_kind: bool
    same_bits_by_threads: bool | None
    same_bits_by_core: bool | None  # None where a thread cannot be bound to a core


@dataclass(frozen=True)
class Speed:
    """Medians of rounds: prompts by their tokens, single tokens by how many lie before them."""

    engine: str
    threads: int
    rounds: int
    prefill_ms: dict[int, float]
    decode_ms: dict[int, float]
    read_bandwidth_bytes_per_s: float


def kernels_of(bundle: Bundle) -> Kernels:
    """Examine the native kernels on this machine."""
    try:
        native = library.opened()
    except OptionError:  # whose text names a folder
        return Kernels((), "onnxruntime", NOT_BUILT, False, None, None)
    kinds = tuple(_kind(native, kind) for kind in native.able)
    works = not machine.why_not_native()
    decision = cpu_engine(machine.this_machine())
    return Kernels(
        kinds,
        native.best if decision.engine == "native" else decision.engine,
        _why(decision.reason),
        len({kind.bits for kind in kinds}) == 1,
        same_on_threads(bundle) if works else None,
        same_on_cores(native, native.best) if works else None,
    )


def _kind(native: Native, kind: str) -> KindReport:
    right = computes_rightly(native, kind)
    return KindReport(kind, right, bits_of(native, kind), products_per_s(native, kind))


def _why(reason: str) -> str:
    """Return why `load` takes an engine, without the name of a folder that cannot be written."""
    if machine.FAILED in reason:  # and what computes wrongly is not timed
        return reason
    outcome = machine.trial()
    return reason if outcome is None else str(replace(outcome, note=""))


def engines_here() -> list[str]:
    """Return the engines that can compute int4 here."""
    there = (not machine.why_not_native(), bool(onnxruntime_version()))
    return [engine for engine, here in zip(ENGINES, there, strict=True) if here]


def measure(
    subject: Subject, workload: Workload, rounds: int, advance: Advance
) -> list[Throughput]:
    """Measure all engines that are here, one after the other in each round."""
    done: dict[str, list[Round]] = {engine: [] for engine in engines_here()}
    for _ in range(rounds):
        for engine, its in done.items():
            its.append(run_round(replace(subject, engine=engine), workload, advance))
    return [summarize(subject, workload, its) for its in done.values()]


def report_of(
    bundle: Bundle,
    measured: Sequence[Throughput],
    kernels: Callable[[Bundle], Kernels] = kernels_of,
) -> dict[str, object]:
    """Return all that is written."""
    name, features = cpu_name_and_features()
    speeds = [_speed(one) for one in measured]
    sizes = bundle.sizes
    return {
        "schema": SCHEMA,
        "refact_edge": metadata.version("refact-edge"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "system": {"name": platform.system(), "release": platform.release(),
                   "machine": platform.machine(), "python": platform.python_version()},
        "cpu": {"name": name, "features": features, "logical_cores": os.cpu_count()},
        "onnxruntime": onnxruntime_version() or None,
        "kernels": asdict(kernels(bundle)),
        "model": {"layers": sizes.layers, "width": sizes.width, "variant": "int4"},
        "speed": [asdict(speed) for speed in speeds],
        "onnxruntime_over_native": _ratios(speeds),
    }  # fmt: skip


def write_report(file: Path, report: dict[str, object]) -> None:
    """Write it, whole or not at all.

    Raises:
        OptionError: when the file cannot be written.

    """
    try:
        with atomic_write(file) as draft:
            draft.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OptionError(
            f"{file} cannot be written: {error.strerror}; name another file"
        ) from error


def _speed(one: Throughput) -> Speed:
    return Speed(
        one.engine,
        one.threads,
        one.rounds,
        {prompt.tokens: prompt.prefill_ms.median for prompt in one.prefill},
        {written.depth_tokens: written.decode_ms.median for written in one.decode},
        one.read_bandwidth_bytes_per_s.median,
    )


def _ratios(speeds: Sequence[Speed]) -> dict[str, dict[int, float]] | None:
    """Return how many times as long onnxruntime takes; None where one of the two is not there."""
    if len(speeds) < len(ENGINES):
        return None
    native, other = speeds
    return {
        "prefill": {n: other.prefill_ms[n] / ms for n, ms in native.prefill_ms.items()},
        "decode": {n: other.decode_ms[n] / ms for n, ms in native.decode_ms.items()},
    }
