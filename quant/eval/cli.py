"""What the commands of `refact-edge eval` let their user choose, and how progress is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from ...runtime.console.cli import progress_bar
from ...runtime.console.terminal import echo
from ...runtime.errors import OptionError
from ...runtime.machine.cores import usable_cpus
from ...runtime.opening.demo import demo_bundle
from .presets import Preset
from .results import Record, Results

MAX_TOKENS = 512

Decorator = Callable[[Callable[..., None]], Callable[..., None]]
_PATH = click.Path(path_type=Path)


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
    click.option("--bundle", type=_PATH, help="The bundle's folder; the demo's by default."),
    click.option("--variant", help="int4, int8, fp32, fp16 or hybrid; the best for the device."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--threads", type=int, help="CPU threads; one a physical core by default."),
    click.option(
        "--compare", nargs=2, metavar="A B", help="Run two variants and compare them in pairs."
    ),
    click.option("--out", type=_PATH, help="Append results here; the same run goes on from it."),
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
    jobs: int
    timeout: float
    unsafe: bool
    without_model: str | None

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {value}; expected 1 or more"
            for name, value in (("n", self.n), ("limit", self.limit), ("jobs", self.jobs))
            if value is not None and value < 1
        ]
        if wrong:
            raise OptionError("; ".join(wrong))

    def preset(self, base: Preset) -> Preset:
        """Return the preset with what was asked for in its place, and nothing published then."""
        given = {"form": self.form, "samples": self.n, "temperature": self.temperature}
        given |= {"top_p": self.top_p, "top_k": self.top_k}
        changes = {name: value for name, value in given.items() if value is not None}
        changed = replace(base, **changes)  # type: ignore[arg-type]
        altered = changed != base or self.limit is not None or self.max_tokens != MAX_TOKENS
        return replace(changed, published={}) if altered else changed


SAMPLED = (
    click.option("--n", type=int, help="Samples a problem."),
    click.option("--form", help="How a problem is put; see above."),
    click.option("--temperature", type=float, help="0 is greedy."),
    click.option("--top-p", type=float, help="Keep the likeliest tokens up to this share."),
    click.option("--top-k", type=int, help="Keep the k likeliest tokens; 0 keeps all."),
    click.option("--seed", default=0, show_default=True, help="The same seed, the same samples."),
    click.option("--max-tokens", default=MAX_TOKENS, show_default=True, help="New tokens at most."),
    click.option("--limit", type=int, help="Only the first problems."),
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


def gathered(name: str, kind: type[Any], options: Sequence[Decorator]) -> Decorator:
    """Add `options` to a command, and hand them to it as one argument."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def collected(**given: Any) -> None:
            values = {field.name: given.pop(field.name) for field in fields(kind)}
            command(**{name: kind(**values)}, **given)

        decorated: Callable[..., None] = collected
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


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
        kept = f"kept in {results.path}; the same command goes on from there"
        lost = "are lost; --out FILE would keep them"
        echo(f"\n{done} of {total} done, {kept if results.path else lost}", err=True)
        raise
