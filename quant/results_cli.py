"""The commands of `refact-edge eval` that read files of results: compare and merge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from ..runtime.console.terminal import echo
from ..runtime.errors import EvalError
from .eval import report
from .eval.compare import check_comparable, compare_results
from .eval.parts import merged
from .eval.results import Results, read_results, write_results
from .eval.samples import summarize

_PATH = click.Path(path_type=Path)


@click.command(name="compare")
@click.argument("a", type=_PATH)
@click.argument("b", type=_PATH)
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
@click.argument("parts", type=_PATH, nargs=-1, required=True)
@click.option("--out", type=_PATH, required=True, help="The file of the whole run; a new one.")
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
