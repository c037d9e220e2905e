"""What the commands of `refact-edge eval` have in common: their options, and files of results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import click

from ...runtime.console.cli import progress_bar
from ...runtime.console.options import (
    DEVICE,
    TEMPERATURE,
    THREADS,
    TOP_K,
    TOP_P,
    VARIANT,
    bundle_option,
)
from ...runtime.console.params import PATH
from ...runtime.console.terminal import echo
from ...runtime.errors import EvalError, OptionError
from ...runtime.machine.cores import usable_cpus
from ...runtime.opening.demo import demo_bundle
from . import report
from .compare import check_comparable, compare_results
from .parts import merged, read_part
from .presets import Preset
from .problems import Problem
from .results import Record, Results, read_results, write_results
from .samples import summarize

MAX_TOKENS = 512


@dataclass(frozen=True)
class Opening:
    """Which model is measured, where results go, and how they are shown."""

    bundle: Path | None
    variant: str | None
    device: str
    threads: int | None
    compare: tuple[str, str] | None
    out: Path | None
    as_json: bool

    def variants(self) -> tuple[str | None, ...]:
        """Return the variants to run, in turn."""
        if self.compare and self.variant:
            raise OptionError("give --variant for one run or --compare for two, not both")
        if self.compare and self.compare[0] == self.compare[1]:
            raise OptionError(f"--compare names {self.compare[0]} twice; expected two variants")
        return self.compare or (self.variant,)

    def folder(self) -> Path:
        """Return the bundle that was named, or the demo's, and say so."""
        if self.bundle is not None:
            return self.bundle
        bundle = demo_bundle()
        echo("using the demo bundle, a toy model; name another with --bundle", err=True)
        return bundle

    def out_for(self, variant: str) -> Path | None:
        """Return the file of one of two variants: its name before the ending."""
        if self.out is None or not self.compare:
            return self.out
        return self.out.with_name(f"{self.out.stem}.{variant}{self.out.suffix}")


OPENING = (
    bundle_option,
    VARIANT,
    DEVICE,
    THREADS,
    click.option(
        "--compare", nargs=2, metavar="A B", help="Run two variants and compare them in pairs."
    ),
    click.option("--out", type=PATH, help="Append results here; the same run goes on from it."),
    click.option("--json", "as_json", is_flag=True, help="End with one JSON object."),
)


@dataclass(frozen=True)
class Sampled:
    """How samples are drawn and judged; None takes the preset's."""

    n: int | None
    form: str | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    seed: int
    max_tokens: int
    limit: int | None
    sample: int | None
    part: str | None
    jobs: int
    timeout: float
    unsafe: bool
    without_model: str | None

    def __post_init__(self) -> None:
        counts = {"n": self.n, "limit": self.limit, "sample": self.sample, "jobs": self.jobs}
        problems = [
            f"{name} {value}; expected 1 or more"
            for name, value in counts.items()
            if value is not None and value < 1
        ]
        if self.limit is not None and self.sample is not None:
            problems.append("limit and sample; expected one of the two")
        if problems:
            raise OptionError("; ".join(problems), problems=problems)

    def preset(self, base: Preset) -> Preset:
        """Return the preset with these values in its place, and nothing published then."""
        values = {"form": self.form, "samples": self.n, "temperature": self.temperature}
        values |= {"top_p": self.top_p, "top_k": self.top_k}
        changes = {name: value for name, value in values.items() if value is not None}
        changed = replace(base, **changes)  # type: ignore[arg-type]
        fewer = self.limit is not None or self.sample is not None
        altered = changed != base or fewer or self.max_tokens != MAX_TOKENS
        return replace(changed, published={}) if altered else changed

    def chosen(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """Return those to solve, in their order: the first ones, or some that the seed draws.

        Of a part they are only each N-th.
        """
        if self.sample is None:
            chosen = list(problems[: self.limit])
        else:
            count = min(self.sample, len(problems))
            drawn = sorted(Random(self.seed).sample(range(len(problems)), count))
            chosen = [problems[i] for i in drawn]
        if self.part is None:
            return chosen
        part = read_part(self.part)
        return chosen[part.number - 1 :: part.of]


SAMPLED = (
    click.option("--n", type=int, help="Samples a problem."),
    click.option("--form", help="How a problem is put; see above."),
    TEMPERATURE,
    TOP_P,
    TOP_K,
    click.option("--seed", default=0, show_default=True, help="The same seed, the same samples."),
    click.option("--max-tokens", default=MAX_TOKENS, show_default=True, help="New tokens at most."),
    click.option("--limit", type=int, help="Only the first problems."),
    click.option("--sample", type=int, help="Only so many of the problems, drawn by the seed."),
    click.option(
        "--part",
        metavar="I/N",
        help="Only each N-th problem, from the I-th on; `eval merge` joins the parts.",
    ),
    click.option(
        "--jobs",
        type=int,
        default=usable_cpus(),
        help="Programs judged at once; a core each.",
    ),
    click.option("--timeout", default=10.0, show_default=True, help="Seconds a program may take."),
    click.option(
        "--unsafe", is_flag=True, help="Run generated code without bubblewrap, as yourself."
    ),
    click.option(
        "--canonical",
        "without_model",
        flag_value="canonical",
        help="Judge the published solutions.",
    ),
    click.option("--empty", "without_model", flag_value="empty", help="Judge empty completions."),
)


def collect(results: Results, records: Iterable[Record], label: str, total: int) -> None:
    """Append what comes, and say at Ctrl-C how to go on."""
    before = len(results.records)
    if before:
        echo(f"{results.path}: {before} found there, {total} to do", err=True)
    try:
        with progress_bar(label, total) as advance:
            for record in records:
                results.append(record)
                advance(1)
    except KeyboardInterrupt:
        done = len(results.records) - before
        saved = f"saved in {results.path}; the same command goes on from there"
        lost = "are lost; --out FILE would keep them"
        echo(f"\n{done} of {total} done, {saved if results.path else lost}", err=True)
        raise


@click.command(name="compare")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
def compare_files(a: Path, b: Path, as_json: bool) -> None:
    """Compare two files of results, problem by problem.

    A and B are files that --out has written.

    \b
    Examples:
      refact-edge eval compare greedy.int4.jsonl greedy.fp32.jsonl
      refact-edge eval compare holes.int4.jsonl holes.fp32.jsonl --json
    """
    results = (read_results(a), read_results(b))
    names = [_name(one, path) for one, path in zip(results, (a, b), strict=True)]
    if names[0] == names[1]:
        names = [str(a), str(b)]
    compare(names, results, {}, as_json)


@click.command(name="merge")
@click.argument("parts", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="The file of the whole run; a new one.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
def merge(parts: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Join PARTS of one run, made on as many machines, into the run that they are.

    PARTS are files that --part I/N --out FILE has written. What comes out is what one run with the
    same seed would have written, byte for byte with int4 on the native engine and CPUs of one kind.

    \b
    Examples:
      refact-edge eval humaneval HumanEval.jsonl.gz --preset warm --part 1/2 --out 1.jsonl
      refact-edge eval humaneval HumanEval.jsonl.gz --preset warm --part 2/2 --out 2.jsonl
      refact-edge eval merge 1.jsonl 2.jsonl --out warm.jsonl
    """
    if out.exists():
        raise EvalError(f"{out} exists; name another file")
    whole, published = merged({str(part): read_results(part) for part in parts})
    write_results(out, whole)
    figures = summarize(whole.records)
    name = str(whole.settings.get("variant", out.stem))
    say(report.samples(name, whole.settings, figures, published))
    if as_json:
        echo(json.dumps({"settings": dict(whole.settings), "figures": figures}))


def _name(results: Results, path: Path) -> str:
    return str(results.settings.get("variant") or path)


def compare(
    names: Sequence[str], results: Sequence[Results], summary: dict[str, Any], as_json: bool
) -> None:
    """Show how two runs differ; `summary` is what --json has of each."""
    a, b = results
    others = check_comparable(a, b)
    comparison = compare_results(a, b)
    say(report.comparison(names[0], names[1], comparison, others))
    if as_json:
        echo(json.dumps({**summary, "comparison": {"a": names[0], "b": names[1], **comparison}}))


def say(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        echo(line)
