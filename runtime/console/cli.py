"""The command line: what is said of a bundle and this machine, and what several commands share.

complete and chat, in ask/, are imported when they are called; commands of other parts join as entry
points.
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

from ..backends.native.session import VARIANT as NATIVE_VARIANT
from ..bundle.contract import read_bundle, verify_variant
from ..bundle.describe import describe
from ..errors import OptionError
from ..opening.choice import best_variant, required_variants
from ..opening.demo import demo_bundle, find_demo
from ..opening.open import ENGINES
from ..opening.verdict import engine_in_words, why_not_this
from ..store import folder as cachefolder
from ..store import hash_notes as checked
from ..store import prepack
from .doctor import examine
from .terminal import echo

PATH = click.Path(path_type=Path)

engine_option = click.option(
    "--engine", default=ENGINES[0], help="What computes int4 on a CPU: native, onnxruntime or auto."
)


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
    """Code completion and chat from an ONNX bundle of Refact-1.6B, on machines with no big GPU."""


@cli.command()
@click.argument("bundle", type=PATH, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def info(bundle: Path | None, as_json: bool) -> None:
    """Show what a bundle holds.

    \b
    Examples:
      refact-edge info bundle
      refact-edge info --json
    """
    path = bundle or demo_bundle()
    opened = read_bundle(path)
    if as_json:
        echo(json.dumps({**asdict(opened), "path": str(path)}, indent=2))
        return
    for line in describe(opened):
        echo(line)
    if NATIVE_VARIANT in opened.variants:
        echo(f"{NATIVE_VARIANT} on this cpu: {engine_in_words()}")


@cli.command()
@click.argument("bundle", type=PATH, required=False)
@click.option("--variant", help="The best for a CPU by default; hybrid for int8 and int4.")
@engine_option
@click.option("--clear", is_flag=True, help="Remove all that it left, of whatever bundle.")
def warm(bundle: Path | None, variant: str | None, engine: str, clear: bool) -> None:
    """Have BUNDLE open at once from now on, by what is kept in your cache folder.

    For the native kernels that is a note that its files were hashed. For onnxruntime it is a copy
    that is laid out for this CPU and this onnxruntime, and takes twice the space of the weights.
    Either is found by itself. REFACT_EDGE_CACHE names another folder.

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
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}; expected one of {', '.join(ENGINES)}")
    opened = read_bundle(bundle or demo_bundle())
    for name in required_variants(opened, variant or best_variant(opened, "cpu")):
        reason = "" if name == NATIVE_VARIANT else f"they compute {NATIVE_VARIANT}, not {name}"
        if not reason and engine != "onnxruntime":
            verify_variant(opened, name, hash_weights=False)
            reason = why_not_this(opened)
            if not reason:
                echo(f"{name}: hashed, as is noted in {checked.note(opened, name).parent}")
                continue
        if engine == "native":
            raise OptionError(f"engine native cannot be had: {reason}")
        folder = prepack.make(opened, name)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        echo(f"{name}: {size:.0f} MB in {folder}")


@cli.command()
@click.argument("bundle", type=PATH, required=False)
def doctor(bundle: Path | None) -> None:
    """Look at the installation, the machine and a bundle.

    Exits with 1 when something is wrong.

    \b
    Examples:
      refact-edge doctor
      refact-edge doctor bundle
    """
    findings = examine(bundle or find_demo())
    for finding in findings:
        mark = "!!" if finding.problem else "ok"
        echo(f"{mark} {finding.subject:22} {finding.state}")
        if finding.problem:
            echo(f"   {'':22} {finding.problem}")
    if any(finding.problem for finding in findings):
        raise click.exceptions.Exit(1)


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
