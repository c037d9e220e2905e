"""The one way of the commands to a reader's terminal."""

from __future__ import annotations

import click

from ..errors import printable


class Termination(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, and also the conversation that outlives a Ctrl-C."""


def echo(text: object = "", *, err: bool = False) -> None:
    """Write a line to standard output or error, with what may steer a terminal made harmless.

    Names out of bundles, checkpoints and folders are in it, which somebody else may have made.
    """
    click.echo(printable(text), err=err)
