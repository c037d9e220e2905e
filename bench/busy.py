"""What a busy core costs: decode steps with and without other work, by how long threads spin.

Usage: python -m bench.busy BUNDLE [--variant int4]
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from refact_edge.runtime.backends.onnxruntime import SPIN_US, OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.engine.session import Session
from refact_edge.runtime.machine.cores import fast_cores

ROUNDS, STEPS, CONTEXT = 14, 6, 32
_SPINNING = "session.intra_op.spin_duration_us"
_SLEEPING = "session.intra_op.allow_spinning"

# Threads, and what is changed in the session's settings.
WAYS: dict[str, tuple[int, dict[str, str]]] = {
    "onnxruntime's own": (0, {_SPINNING: "-1"}),
    f"{SPIN_US} us": (0, {}),
    "50 us": (0, {_SPINNING: "50"}),
    "none": (0, {_SLEEPING: "0"}),
    "one thread": (1, {}),
}


def opened(path: Path, variant: str, threads: int, changes: dict[str, str]) -> Session:
    """Return a session of a bundle's variant with changed settings."""
    verified = verify(read_bundle(path), variant, hashes=False)
    return OnnxruntimeSession(verified, SessionOptions("cpu", threads or None, entries=changes))


def stepper(session: Session) -> Callable[[], float]:
    """Return what runs some steps behind a short prompt and tells their median seconds."""
    cache = session.new_cache()
    session.step(np.arange(CONTEXT), cache)

    def steps() -> float:
        seconds = []
        for token in range(STEPS):
            start = time.perf_counter()
            session.step(np.array([token]), cache)
            seconds.append(time.perf_counter() - start)
            cache.rewind(CONTEXT)
        return float(np.median(seconds))

    return steps


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = multiprocessing.get_context("spawn").Process(target=_forever, daemon=True)
    process.start()
    try:
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.join()


def _forever() -> None:
    while True:
        pass


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--variant", default="int4", show_default=True)
def main(bundle: Path, variant: str) -> None:
    """Print the medians, interleaved, and their ratios to onnxruntime's own way."""
    ways = {name: stepper(opened(bundle, variant, *how)) for name, how in WAYS.items()}
    click.echo(f"{fast_cores()} fast cores; threads spin for:\n")
    for label, other in (("idle", contextlib.nullcontext()), ("one core busy", busy_core())):
        click.echo(f"| {label} | ms a step | ratio | quartiles |\n|---|---|---|---|")
        with other:
            rounds = np.array([[run() for run in ways.values()] for _ in range(ROUNDS)])
        ratios = rounds / rounds[:, :1]
        for name, seconds, ratio in zip(ways, rounds.T, ratios.T, strict=True):
            low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
            ms = 1000 * np.median(seconds)
            click.echo(f"| {name} | {ms:.1f} | {middle:.2f} | {low:.2f} to {high:.2f} |")
        click.echo()


if __name__ == "__main__":
    main()
