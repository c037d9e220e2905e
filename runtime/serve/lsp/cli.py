"""The command lsp."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ...console.options import ModelOptions, model_options
from ...console.params import bundle_argument
from ...errors import OptionError, ProtocolError
from ...trust.check import open_bundle
from ..cli import require_extra
from ..options import exit_option
from ..process.listening import listening
from ..process.logs import TextFormatter
from ..process.output import note, say
from ..process.parent import end_with_parent
from ..service.settings import Settings

if TYPE_CHECKING:
    from .server import EdgeServer


@click.command()
@model_options(bundle_argument)
@click.option("--tcp", type=int, help="Listen at a port on loopback, in place of the pipes.")
@click.option("--ready-json", is_flag=True, help="Print the port as one line of JSON (--tcp).")
@exit_option
@click.option("--stdio", is_flag=True, help="Use the pipes, as without any option.")
def lsp(
    model: ModelOptions, tcp: int | None, ready_json: bool, exit_with_parent: bool, stdio: bool
) -> None:
    """Complete at the cursor for editors that speak LSP 3.18.

    Editors start it themselves and talk to it through its standard input and output. Settings are
    read from the section refactEdge; docs/serve.md lists them.

    \b
    Examples:
      refact-edge lsp bundle
      refact-edge lsp bundle --tcp 2087
    """
    require_extra("lsp", "pygls", "lsprotocol")
    _check(tcp, stdio=stdio, ready_json=ready_json)
    if exit_with_parent:
        end_with_parent()
    bundle = model.folder(note)
    by_hand = tcp is not None or sys.stdin.isatty()
    if by_hand:  # an editor shows its user what is wrong, later
        open_bundle(bundle)
    _log_to_stderr()
    from .features import create_server

    server = create_server(lambda: model.load(bundle), Settings(slots=1))
    in_order = _talk(server, tcp, by_hand=by_hand, ready_json=ready_json)
    server.save_caches()
    _leave(0 if in_order and (server.ended or by_hand) else 1)


def _check(tcp: int | None, *, stdio: bool, ready_json: bool) -> None:
    if stdio and tcp is not None:
        raise OptionError("--stdio and --tcp exclude each other; give one")
    if ready_json and tcp is None:
        raise OptionError("--ready-json tells a port; give --tcp, as --tcp 0 for any free one")
    if tcp is None:
        for stream, name in ((sys.stdin, "input"), (sys.stdout, "output")):
            if stream is None:
                raise OptionError(f"standard {name} is closed; an editor talks through it")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter("%(name)s: %(message)s"))
    handler.addFilter(_is_for_the_log)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _is_for_the_log(record: logging.LogRecord) -> bool:
    """Whether the editor does not get to know it: pygls also logs with what it answers requests."""
    from pygls.exceptions import JsonRpcException

    return record.exc_info is None or not isinstance(record.exc_info[1], JsonRpcException)


def _talk(server: EdgeServer, tcp: int | None, *, by_hand: bool, ready_json: bool) -> bool:
    """Talk to an editor until the end; return whether what it sent were messages, to the last."""
    try:
        with contextlib.suppress(KeyboardInterrupt):  # which is how it is meant to end
            if tcp is not None:
                _talk_over_tcp(server, tcp, ready_json=ready_json)
            else:
                hello = "speaks LSP on its standard input, to an editor; Ctrl-C ends it"
                server.run_io(begun=lambda: note(hello) if by_hand else None)
    except ProtocolError as error:
        note(f"error: {error}")
        return False
    return True


def _talk_over_tcp(server: EdgeServer, port: int, *, ready_json: bool) -> None:
    with listening(port, None, "--tcp") as (listener, address):
        url = urlsplit(address)
        if ready_json:
            say(json.dumps({"host": url.hostname, "port": url.port, "pid": os.getpid()}))
        else:
            note(f"waiting for one editor at {url.netloc}; Ctrl-C ends it")
        server.run_tcp(listener)


def _leave(code: int) -> None:
    """End at once: a thread may wait for standard input, and Python would wait for the thread."""
    with contextlib.suppress(OSError, AttributeError):  # there may be none, or nobody reads it
        sys.stderr.flush()
    os._exit(code)
