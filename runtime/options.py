"""What several commands share: options, the demo bundle, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .bundle import default_bundle
from .errors import BundleError
from .load import ENGINES

PATH = click.Path(path_type=Path)

engine_option = click.option(
    "--engine", default=ENGINES[0], help="What computes int4 on a CPU: native, onnxruntime or auto."
)


def demo_bundle() -> Path:
    """Return the bundle that is used when none is named.

    Raises:
        BundleError: when it is not there.

    """
    if not default_bundle().exists():
        raise BundleError("no bundle was named and there is no demo bundle; make it: make demo")
    return default_bundle()


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with a time estimate on standard error; nothing when not a terminal."""
    hidden = not sys.stderr.isatty()
    if hidden:
        click.echo(f"{label} ...", err=True)
    with click.progressbar(
        length=total, label=f"{label:24}", file=sys.stderr, show_eta=True, hidden=hidden
    ) as bar:
        yield bar.update
