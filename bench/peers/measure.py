"""The run: group by group throughput and typing, then cold starts and memory.

Only one worker works at a time. One that does not start is left out, and the report says why.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import click

from .engines import ONE_KIND, STARTS, Files, Group, groups, start, starts
from .limits import Limits, measure_limits
from .process import Worker, WorkerError
from .prompts import Prompter
from .tables import ANONYMOUS, COLD, IMPORTED, MAPPED, PEAK, Measurements
from .texts import Texts
from .work import DEPTHS, LENGTHS, STEPS, Piece, keystroke, reading, replay, schedule, writing

COLD_TOKENS = 64
MEMORY_TOKENS = 512
WARM_UP = 64
ROUNDS, DEEP_ROUNDS = 3, 2  # of one kind of CPU; of its longest prompt


@dataclass
class Measured:
    """What was measured, of which versions, and what could not be."""

    measurements: Measurements = field(default_factory=Measurements)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # workers that did not start, and why
    orders: tuple[str, ...] = ()  # of the model's holes, its own first
    written: list[str] = field(default_factory=list)  # into the home folder, by any of them
    limits: list[Limits] = field(default_factory=list)  # of this machine, before and after groups


def measure(files: Files, parts: Sequence[str], quick: bool, measured: Measured) -> Iterator[None]:
    """Measure the parts into `measured`, and yield after each."""
    texts = Texts(files.bundle, files.threads) if files.model else None
    prompter = Prompter(files.bundle, texts)
    measured.orders = prompter.orders
    for group in groups(files):
        if group.name in parts:
            measured.limits.append(measure_limits(files))
            pieces = _pieces(group, prompter, quick)
            if texts is not None:
                texts.close()
            _measure_group(group, pieces, files, measured)
            measured.limits.append(measure_limits(files))
            yield
    if STARTS in parts:
        _measure_starts(prompter, files, 3 if quick else 7, measured)
    files_left = [path.relative_to(files.home) for path in files.home.rglob("*") if path.is_file()]
    measured.written = sorted(map(str, files_left))
    yield


def _pieces(group: Group, prompter: Prompter, quick: bool) -> list[Piece]:
    if group.name == ONE_KIND:
        return comparison(prompter)
    return (typing if group.typing else throughput)(prompter, quick)


def comparison(prompter: Prompter) -> list[Piece]:
    """Return what one kind of CPU is measured by: prompts, single tokens, and four at once."""
    lengths = [n for n in LENGTHS if n + STEPS <= prompter.context]
    code, depth = prompter.code(max(lengths) + STEPS), DEPTHS[0]
    rounds = (ROUNDS, DEEP_ROUNDS)
    prompts = [reading(code[:n], count) for n, count in zip(lengths, rounds, strict=False)]
    return [*prompts, writing(code, depth, ROUNDS)]


def throughput(prompter: Prompter, quick: bool) -> list[Piece]:
    """Return reading and writing; a quick run reads the longest prompt once."""
    lengths = [n for n in LENGTHS if n + STEPS <= prompter.context]
    code, times = prompter.code(max(lengths) + STEPS), (2, 1) if quick else (7, 3)
    return [
        *(reading(code[:n], rounds) for n, rounds in zip(lengths, times, strict=False)),
        *(writing(code, n, 3 if quick else 7) for n in DEPTHS if n <= max(lengths)),
    ]


def typing(prompter: Prompter, quick: bool) -> list[Piece]:
    """Return the keystroke and the traces."""
    return [
        keystroke(*prompter.keystroke(), rounds=3 if quick else 7),
        *(replay(name, prompts) for name, prompts in prompter.traces(quick).items()),
    ]


def _measure_group(group: Group, pieces: Sequence[Piece], files: Files, measured: Measured) -> None:
    """Load the workers of a group and let them take turns."""
    workers: dict[str, Worker] = {}
    with ExitStack() as stack:
        for worker in dict.fromkeys(runner.worker for runner in group.runners):
            started = stack.enter_context(start(worker, files))
            try:
                started.wait_until_loaded()
            except WorkerError as error:
                measured.absent[worker] = str(error)
                continue
            workers[worker] = started
            measured.versions |= started.versions
        able = [runner for runner in group.runners if runner.worker in workers]
        for runner in able:
            workers[runner.worker].ask("prefill", slot=runner.slot, ids=list(range(WARM_UP)))
        everything = list(schedule(pieces, able))
        total = sum(piece.tokens for piece, _ in everything)
        with click.progressbar(length=total, label=group.name, file=sys.stderr) as bar:
            for piece, runner in everything:
                measured.measurements.add(runner, piece.run(runner, workers[runner.worker].ask))
                bar.update(piece.tokens)


def _measure_starts(prompter: Prompter, files: Files, rounds: int, measured: Measured) -> None:
    """Start each worker alone: to its first token, and to what it holds after a prompt.

    Each is started twice in a row and the second start counts, so that its files are in the
    system's cache as much as they can be.
    """
    runners = starts(files)
    names = [name for name in runners if name not in measured.absent]
    code = prompter.code(MEMORY_TOKENS)
    with click.progressbar(
        [(number, name) for number in range(rounds) for name in names],
        label="cold starts",
        file=sys.stderr,
    ) as bar:
        for number, name in bar:
            slot = runners[name].slot
            with start(name, files) as worker:
                worker.send("prefill", slot=slot, ids=code[:COLD_TOKENS])
                worker.first_reply()
            with start(name, files) as worker:
                worker.send("prefill", slot=slot, ids=code[:COLD_TOKENS])
                _, seconds = worker.first_reply()
                cold = {COLD: seconds, IMPORTED: seconds - worker.imported_s}
                if number == rounds - 1:
                    worker.ask("prefill", slot=slot, ids=code)
                    held = worker.memory()
                    sizes = (held.anonymous_bytes, held.mapped_bytes, held.peak_bytes)
                    for what, size in zip((ANONYMOUS, MAPPED, PEAK), sizes, strict=True):
                        if size is not None:
                            cold[what] = size
                measured.measurements.add(runners[name], cold)
