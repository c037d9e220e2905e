"""Parameters that many commands have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from ..opening.cpu_engine import ENGINES
from ..trust.check import DIGEST, TRUST

PATH = click.Path(path_type=Path)

engine_option = click.option(
    "--engine",
    default=ENGINES[0],
    show_default=True,
    help="What computes int4 and int8 on a CPU: auto, native or onnxruntime.",
)

_NAMED = f"{__name__}.bundle"


def _note(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    context.meta[_NAMED] = value


def _either(context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    named: Path | None = context.meta.get(_NAMED)
    if value is not None and named is not None:
        raise click.UsageError(f"--bundle {named} and BUNDLE {value}; expected one of the two")
    return named if value is None else value


def _until_closed(variable: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    """Return what sets an environment variable while a command runs, for its processes too."""

    def put(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        before = os.environ.get(variable)
        os.environ[variable] = value

        def put_back() -> None:
            os.environ.pop(variable)
            if before is not None:
                os.environ[variable] = before

        context.call_on_close(put_back)

    return put


def trust_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take the key that a bundle has to be signed by."""
    return click.option(
        "--trust", metavar="KEY", expose_value=False, callback=_until_closed(TRUST),
        help=f"Public key or certificates (PEM) that the bundle is signed by; or {TRUST}.",
    )(command)  # fmt: skip


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take what a bundle has to be: signed by a key, or of a digest."""
    digest = click.option(
        "--digest", metavar="sha256:...", expose_value=False, callback=_until_closed(DIGEST),
        help=f"What the bundle has to be, as info --digest prints it; or {DIGEST}.",
    )  # fmt: skip
    return trust_option(digest(command))


def bundle_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Take a bundle as `plain_bundle_argument` does, and what it has to be: `trust_options`."""
    return plain_bundle_argument(trust_options(command))


def plain_bundle_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Take a bundle as BUNDLE, or by --bundle, as commands do whose arguments are a question."""
    named = click.option(
        "--bundle", "named", type=PATH, hidden=True, is_eager=True, expose_value=False,
        callback=_note,
    )  # fmt: skip
    argument = click.argument("bundle", type=PATH, required=False, callback=_either)
    return argument(named(command))
