"""The command lsp."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from ..cli import chosen_bundle, model_options, opener, require_extra
from ..settings import LOOPBACK, Settings


@click.command()
@model_options
@click.option("--tcp", type=click.IntRange(1, 2**16 - 1), help="A port, in place of the pipes.")
def lsp(
    bundle: Path | None,
    variant: str | None,
    device: str,
    threads: int | None,
    prefill: str,
    caches: Path | None,
    tcp: int | None,
) -> None:
    """Complete at the cursor for editors that speak LSP 3.18.

    Editors start it themselves and talk to it through its standard input and output. Settings are
    read from the section refactEdge; see the README.

    \b
    Examples:
      refact-edge lsp bundle
      refact-edge lsp bundle --tcp 2087
    """
    require_extra("lsp", "pygls", "lsprotocol")
    bundle = chosen_bundle(bundle)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    from .server import create_server

    server = create_server(
        opener(bundle, variant, device, threads, prefill, caches), Settings(slots=1)
    )
    if tcp is None:
        server.start_io()
    else:
        click.echo(f"waiting for one editor at {LOOPBACK}:{tcp}; Ctrl-C ends it", err=True)
        server.start_tcp(LOOPBACK, tcp)
