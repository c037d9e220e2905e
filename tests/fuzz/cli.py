"""The fuzzer's command."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from . import report, results
from .runner import FuzzerError, run
from .sources import fingerprint

OUT = Path("build/fuzz")


@click.command()
@click.option("--seed", default=0, show_default=True)
@click.option("--count", default=10_000, show_default=True, help="How many mutants, from number 0.")
@click.option("--only", type=int, help="Do this one again, show all of it, and leave its folder.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
@click.option("--slots", default=os.cpu_count() or 1, show_default=True, help="Mutants at a time.")
@click.option("--anew", is_flag=True, help="Forget the results that are there.")
def main(seed: int, count: int, only: int | None, out: Path, slots: int, anew: bool) -> None:
    """Open hostile files in every way, and print what should not have happened.

    A run that was stopped goes on where it was, while the code is the same. Exits with 1 when there
    are faults.
    """
    out = out / fingerprint()
    try:
        if only is not None:
            _show(seed, only, out)
            return
        file = out / f"results-{seed}.jsonl"
        if anew:
            file.unlink(missing_ok=True)
        _run(seed, count, out, slots, file)
    except FuzzerError as error:
        raise click.ClickException(str(error)) from error
    every = [result for number, result in results.read(file).items() if number < count]
    for line in report.lines(every, seed):
        click.echo(line)
    if report.faults(every):
        raise click.exceptions.Exit(1)


def _run(seed: int, count: int, out: Path, slots: int, file: Path) -> None:
    done = results.read(file)
    numbers = [number for number in range(count) if number not in done]
    if done:
        click.echo(f"{file}: {count - len(numbers)} of {count} are done", err=True)
    with click.progressbar(
        length=len(numbers), label="fuzzing", file=sys.stderr, show_eta=True
    ) as bar:
        for _ in results.appended(file, run(seed, numbers, out, slots)):
            bar.update(1)


def _show(seed: int, number: int, out: Path) -> None:
    """Do one mutant, and print everything of it."""
    folder = out / f"mutant-{seed}-{number}"
    (result,) = run(seed, [number], out, 1)
    click.echo(f"{result['kind']}, {result['flavour']}: {result['change']}")
    for name, job in result["jobs"].items():
        click.echo(
            f"{name}: {job['verdict']} ({job['seconds']} s, {job['peak_mb']} MB) {job['message']}"
        )
        for line in job["detail"].splitlines():
            click.echo(f"    | {line}")
    shutil.rmtree(folder, ignore_errors=True)
    (out / "work-0").rename(folder)
    click.echo(f"its files: {folder}")
