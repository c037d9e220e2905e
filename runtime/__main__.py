"""The command line's way in: turns errors into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Any

import click

from .cli import cli
from .errors import RefactEdgeError, RefactEdgeWarning


def main() -> None:
    """Run refact-edge; exits with 1 for a mistake, 2 for a wrong option, 130 when interrupted."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Models write any character, and line ends are theirs to choose.
            stream.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    try:
        # Not standalone, click returns the code that a command exits with.
        sys.exit(cli.main(prog_name="refact-edge", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RefactEdgeError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone; what Python would flush at exit has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, RefactEdgeWarning):
        click.echo(f"warning: {message}", err=True)


if __name__ == "__main__":
    main()
