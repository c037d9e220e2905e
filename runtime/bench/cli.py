"""The command `refact-edge bench`: how fast a bundle is on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from ..backends.native.session import INT4
from ..bundle.contract import Bundle
from ..console.cli import progress_bar
from ..console.params import PATH, bundle_argument, engine_option
from ..console.terminal import echo
from ..errors import OptionError
from ..machine.cpu import cpu_summary
from ..opening.cpu_engine import ENGINES
from ..opening.demo import demo_bundle
from ..opening.load import load
from ..trust.check import open_bundle
from .bandwidth import thread_count
from .card import CardFigures, card_lines, measure_card, work_tokens
from .figures import Keystrokes, Replays, Throughput, typing_of
from .keystroke import LINES, ROUNDS, keystroke
from .passes import Workload, workload_for
from .plot import check_plot, write_plot
from .replay import MAX_TOKENS, replay
from .report import engines_here, measure, report_of, write_report
from .rounds import run_round, subject_of, summarize
from .shapes import shaped
from .table import keystroke_lines, throughput_lines, typing_lines
from .traces import asks, read_trace, shipped_traces

_DEFAULT = "throughput"
_CPU_ONLY = ("plot", "report_file", "threads", "longest", "rounds", "engine")


class _Bench(click.Group):
    """Takes what is neither a command nor a question for help as the arguments of throughput."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Add what both commands take: a bundle or a shape, and how it is run."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option("--threads", type=int, help="CPU threads; one a physical core by default."),
        engine_option,
        click.option("--variant", help="int4, int8, fp32 or hybrid; the best for a CPU."),
        click.option("--keep", type=PATH, metavar="DIR", help="Keep the shape's bundle there."),
        click.option("--shape", help="In place of BUNDLE, random weights of a published shape."),
        bundle_argument,
    ):
        command = option(command)
    return command


@click.group(cls=_Bench)
def bench() -> None:
    """Measure how fast a bundle is on this machine.

    Without a command it is `throughput`, whose options it takes.

    \b
    Examples:
      refact-edge bench bundle
      refact-edge bench --shape qwen2.5-coder-1.5b
      refact-edge bench typing bundle --json
    """


@bench.command(_DEFAULT)
@_common
@click.option("--rounds", default=3, show_default=True, help="How often all is measured.")
@click.option("--longest", type=int, metavar="TOKENS", help="The longest prompt.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw into an .svg or .png.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--report", "report_file", type=PATH, metavar="FILE", help="Write what to send us.")
def throughput(
    bundle: Path | None,
    shape: str | None,
    keep: Path | None,
    variant: str | None,
    engine: str,
    threads: int | None,
    as_json: bool,
    rounds: int,
    longest: int | None,
    plot: Path | None,
    device: str,
    report_file: Path | None,
) -> None:
    """Measure prompts, single tokens, start and memory.

    Each round is a fresh process that measures everything: the time to its first token, prompts of
    128 to 4096 tokens, tokens at several depths, memory after that, and how fast memory is read,
    which bounds decoding. Sampling is not part of it. Files are in the system's cache.

    With --device cuda the GPU is measured: prompts, tokens with drafts of several lengths, its
    memory, and how fast that is copied.

    With --report int4 is measured by each engine, and the native kernels are examined: a file to
    send us of a machine that we do not have. It names no host, user or folder, and nothing is sent.

    \b
    Examples:
      refact-edge bench bundle --variant int8
      refact-edge bench bundle --report report.json
      refact-edge bench bundle --rounds 9 --json
      refact-edge bench bundle --device cuda --variant fp16
      refact-edge bench --shape refact-1.6b --keep random-1.6b --plot speed.svg
    """
    if rounds < 1:
        raise OptionError(f"rounds {rounds}; expected 1 or more")
    if device != "cpu":
        _check_card(device)
    if plot is not None:
        check_plot(plot)
    if report_file is not None:
        _check_report(variant, engine, plot, as_json=as_json)
    with _bundle(bundle, shape, keep, variant) as path:
        opened = open_bundle(path)
        if device != "cpu":
            with progress_bar("measuring", work_tokens(opened.sizes.context)) as advance:
                on_card = measure_card(path, variant, advance)
            _show(shape, on_card, iter(card_lines(on_card)), as_json)
            return
        workload = workload_for(opened.sizes.context, longest)
        if report_file is not None:
            _report(report_file, opened, workload, threads, rounds)
            return
        subject = subject_of(opened, variant, threads, cpu_summary(), engine)
        with progress_bar("measuring", rounds * workload.work_tokens) as advance:
            done = [run_round(subject, workload, advance) for _ in range(rounds)]
    figures = summarize(subject, workload, done)
    if plot is not None:
        write_plot(plot, figures)
    _show(shape, figures, throughput_lines(figures), as_json)


@bench.command()
@_common
@click.option("--trace", type=PATH, multiple=True, help="Your own trace; may be repeated.")
@click.option("--max-tokens", default=MAX_TOKENS, show_default=True, help="Of each completion.")
@click.option(
    "--ahead", is_flag=True, help="Prefill each completion ahead, as while it is on screen."
)
def typing(
    bundle: Path | None,
    shape: str | None,
    keep: Path | None,
    variant: str | None,
    engine: str,
    threads: int | None,
    as_json: bool,
    trace: tuple[Path, ...],
    max_tokens: int,
    ahead: bool,
) -> None:
    """Replay typing, and measure how long completions take.

    Three traces come with the program: a function is written, lines are edited in the middle of
    another, and somebody jumps about in a file. Each request finds in the caches what the earlier
    ones left; all are greedy. Pauses are not waited for. With --shape the tokenizer is made up too,
    and takes almost three tokens where a trained one takes one.

    \b
    Examples:
      refact-edge bench typing bundle
      refact-edge bench typing bundle --json
      refact-edge bench typing bundle --trace mine.jsonl --max-tokens 32
    """
    traces = [read_trace(path) for path in trace or shipped_traces()]
    total = sum(len(list(asks(one))) for one in traces)
    with _bundle(bundle, shape, keep, variant) as path:
        model = load(path, variant=variant, device="cpu", threads=threads, engine=engine)
        with progress_bar("replaying", total) as advance:
            served = [
                replay(model, one, max_tokens=max_tokens, ahead=ahead, advance=advance)
                for one in traces
            ]
    figures = Replays(
        bundle=str(path),
        variant=model.variant,
        engine=model.engine,
        device=model.device,
        threads=threads or thread_count(),
        cpu=cpu_summary(),
        max_tokens=max_tokens,
        traces=tuple(typing_of(one.name, [its]) for one, its in zip(traces, served, strict=True)),
        overall=typing_of("all", served),
    )
    _show(shape, figures, typing_lines(figures), as_json)


@bench.command("keystroke")
@_common
@click.option("--longest", type=int, metavar="LINES", help="Leave longer files out.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw into an .svg or .png.")
def keystroke_command(
    bundle: Path | None,
    shape: str | None,
    keep: Path | None,
    variant: str | None,
    engine: str,
    threads: int | None,
    as_json: bool,
    longest: int | None,
    plot: Path | None,
) -> None:
    """Measure a keystroke in files of 10 to 100,000 lines.

    A name is typed in the middle of each, and a token generated at every letter. Beyond the
    context a longer file should take no longer.

    \b
    Examples:
      refact-edge bench keystroke bundle
      refact-edge bench keystroke bundle --longest 3000 --plot keystroke.svg
    """
    lengths = [lines for lines in LINES if longest is None or lines <= longest]
    if not lengths:
        raise OptionError(f"longest {longest}; expected {LINES[0]} or more")
    if plot is not None:
        check_plot(plot)
    with _bundle(bundle, shape, keep, variant) as path:
        model = load(path, variant=variant, device="cpu", threads=threads, engine=engine)
        with progress_bar("typing", len(lengths) * (ROUNDS + 1)) as advance:
            files = [keystroke(model, lines, advance=advance) for lines in lengths]
    figures = Keystrokes(
        bundle=str(path),
        variant=model.variant,
        engine=model.engine,
        device=model.device,
        threads=threads or thread_count(),
        cpu=cpu_summary(),
        files=tuple(files),
    )
    if plot is not None:
        write_plot(plot, figures)
    _show(shape, figures, keystroke_lines(figures), as_json)


def _check_card(device: str) -> None:
    """Refuse what is no device, and what a GPU has no use for."""
    if device != "cuda":
        raise OptionError(f"device {device!r}; expected cpu or cuda")
    source = click.get_current_context().get_parameter_source
    named = [name for name in _CPU_ONLY if source(name) is ParameterSource.COMMANDLINE]
    if named:
        options = ", ".join(f"--{name.removesuffix('_file')}" for name in named)
        raise OptionError(f"--device cuda goes without {options}; leave them out")


def _check_report(variant: str | None, engine: str, plot: Path | None, *, as_json: bool) -> None:
    """Refuse what a report has no use for."""
    if variant not in (None, INT4) or engine != ENGINES[0] or plot or as_json:
        raise OptionError(
            f"--report measures {INT4} by every engine and writes JSON; leave --variant, "
            "--engine, --plot and --json out"
        )


def _report(
    file: Path, bundle: Bundle, workload: Workload, threads: int | None, rounds: int
) -> None:
    """Measure, write the report, and say so in one line."""
    subject = subject_of(bundle, INT4, threads, cpu_summary(), ENGINES[0])
    engines = engines_here()
    with progress_bar("measuring", rounds * len(engines) * workload.work_tokens) as advance:
        measured = measure(subject, workload, rounds, advance)
    write_report(file, report_of(bundle, measured))
    echo(
        f"wrote {file}: this machine's CPU and system, the kernels' tests and speed, "
        f"{' and '.join(engines)} timed; no names or folders are in it, and nothing was sent"
    )


def _show(
    shape: str | None,
    figures: Throughput | Replays | Keystrokes | CardFigures,
    lines: Iterator[str],
    as_json: bool,
) -> None:
    if as_json:
        echo(json.dumps({"shape": shape, **asdict(figures)}))
        return
    for line in lines:
        echo(line)


@contextmanager
def _bundle(
    bundle: Path | None, shape: str | None, keep: Path | None, variant: str | None
) -> Iterator[Path]:
    """Yield the bundle that was named, the demo's, or one made of a shape."""
    if keep is not None and shape is None:
        raise OptionError("--keep keeps what --shape makes; give both")
    if shape is None:
        if bundle is None:
            bundle = demo_bundle()
            echo("using the demo bundle, a toy model; name another as BUNDLE", err=True)
        yield bundle
        return
    if bundle is not None:
        raise OptionError(f"give the bundle {bundle} or --shape {shape}, not both")
    with shaped(
        shape, variant, keep, tell=lambda line: echo(line, err=True), track=progress_bar
    ) as path:
        yield path
