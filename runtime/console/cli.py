"""The command line: what is said of a bundle and this machine, and what several commands share.

complete and chat, in ask.py, are imported when they are called; commands of other parts join as
entry points.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

from ..bundle.describe import describe
from ..errors import RefactEdgeError
from ..opening.card_room import card_in_words
from ..opening.demo import demo_bundle, find_demo
from ..opening.machine import this_machine
from ..opening.plan import Wishes, plan
from ..opening.prepare import prepare
from ..opening.room import caches_in_words
from ..store import folder as cachefolder
from ..text.prompts import Layouts
from ..trust.check import digest_of, open_bundle
from .doctor import examine
from .findings import exit_status, report_lines, to_json
from .params import bundle_argument, engine_option, plain_bundle_argument, trust_option
from .terminal import echo

_ASKING = ("complete", "chat")


class _Commands(click.Group):
    """Finds commands of other parts as entry points, and imports only the one that is called."""

    def _others(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group="refact_edge.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ASKING, *self._others()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command: click.Command | None
        if cmd_name in _ASKING:
            command = getattr(import_module(".ask", __package__), cmd_name)
            return command
        command = super().get_command(ctx, cmd_name)
        if command is None and (other := self._others().get(cmd_name)) is not None:
            command = other.load()
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="refact-edge")
def cli() -> None:
    """Code completion and chat from the ONNX bundle of a model, on machines with no big GPU."""


@cli.command()
@plain_bundle_argument
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.option("--digest", "as_digest", is_flag=True, help="Print the digest of all files alone.")
def info(bundle: Path | None, as_json: bool, as_digest: bool) -> None:
    """Show what a bundle holds.

    \b
    Examples:
      refact-edge info bundle
      refact-edge info --json
      refact-edge info bundle --digest
    """
    path = bundle or demo_bundle()
    opened = open_bundle(path)
    if as_digest:
        echo(digest_of(opened))
        return
    if as_json:
        echo(json.dumps({**asdict(opened), "path": str(path)}, indent=2))
        return
    for line in describe(opened):
        echo(line)
    try:
        layouts = Layouts.from_manifest(opened.prompts)
        echo(f"asked as {opened.prompts.get('family', '?')}: {layouts.in_words()}")
    except RefactEdgeError as error:
        echo(f"asked as nothing: {error}")
    echo(f"KV caches: {caches_in_words(opened)}")
    if (card := this_machine().card) is not None:
        echo(f"on {card.name}: {card_in_words(opened, card)}")
    try:
        chosen = plan(opened, Wishes(), this_machine())
    except RefactEdgeError as error:
        echo(f"opens here as: nothing, as {error}")
        return
    echo(f"opens here as: {chosen}")
    for reason in chosen.reasons:
        echo(f"  {reason}")


@cli.command()
@bundle_argument
@click.option("--variant", help="The best for a CPU by default; hybrid for int8 and int4.")
@engine_option
@click.option("--clear", is_flag=True, help="Remove what it left, of all bundles.")
def warm(bundle: Path | None, variant: str | None, engine: str, clear: bool) -> None:
    """Make BUNDLE open at once from now on, by files in your cache folder.

    For the native kernels that is a note that the weights were hashed. For onnxruntime it is a copy
    laid out for this CPU and this onnxruntime, which takes twice the space of the weights. Opening
    the bundle finds either by itself. REFACT_EDGE_CACHE names another folder.

    \b
    Examples:
      refact-edge warm bundle
      refact-edge warm bundle --variant int8
      refact-edge warm --clear
    """
    if clear:
        freed = cachefolder.clear()
        echo(f"{cachefolder.cache_folder()}: {freed / 1e6:.0f} MB freed")
        return
    opened = open_bundle(bundle or demo_bundle())
    for line in prepare(opened, Wishes(variant, "cpu", engine), this_machine()):
        echo(line)


@cli.command()
@bundle_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(bundle: Path | None, as_json: bool) -> None:
    """Look at the installation, the machine and a bundle.

    Exits with 1 when something does not work, and with 3 when all works, but something is not as it
    should be. With --json fields may be added and never change.

    \b
    Examples:
      refact-edge doctor
      refact-edge doctor bundle
      refact-edge doctor bundle --trust public.pem --json
    """
    findings = examine(bundle or find_demo())
    if as_json:
        echo(json.dumps(to_json(findings), indent=2))
    else:
        for line in report_lines(findings):
            echo(line)
    if status := exit_status(findings):
        raise click.exceptions.Exit(status)


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with a time estimate on standard error; one line when no terminal."""
    if not sys.stderr.isatty():
        if total:
            echo(f"{label} ...", err=True)
        yield lambda _done: None
        return
    with click.progressbar(
        length=total, label=f"{label:24}", file=sys.stderr, show_eta=True
    ) as bar:
        yield bar.update
