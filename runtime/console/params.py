"""Parameters that many commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..opening.int4 import ENGINES

PATH = click.Path(path_type=Path)

engine_option = click.option(
    "--engine",
    default=ENGINES[0],
    show_default=True,
    help="What computes int4 on a CPU: auto, native or onnxruntime.",
)

_NAMED = f"{__name__}.bundle"


def _note(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    context.meta[_NAMED] = value


def _either(context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    named: Path | None = context.meta.get(_NAMED)
    if value is not None and named is not None:
        raise click.UsageError(f"--bundle {named} and BUNDLE {value}; expected one of the two")
    return named if value is None else value


def bundle_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Take a bundle as BUNDLE, or by --bundle, as commands do whose arguments are a question."""
    named = click.option(
        "--bundle", "named", type=PATH, hidden=True, is_eager=True, expose_value=False,
        callback=_note,
    )  # fmt: skip
    argument = click.argument("bundle", type=PATH, required=False, callback=_either)
    return argument(named(command))
