"""The command sidecar."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import click

from ...console.options import ModelOptions, model_options
from ...console.params import bundle_argument
from ...console.terminal import echo
from ...errors import OptionError, ProtocolError
from ...model import Model
from ..cli import require_extra
from ..options import exit_option
from ..process.logs import TextFormatter
from ..process.output import note
from ..process.parent import end_with_parent
from ..service.service import Service
from ..service.settings import Settings


@click.command()
@model_options(bundle_argument)
@click.option("--lines", is_flag=True, help="A line for each message, in place of headers.")
@click.option(
    "--slots", default=Settings.slots, show_default=True, help="Requests computed at once."
)
@click.option("--queue", default=Settings.queue, show_default=True, help="Requests that may wait.")
@click.option("--schema", is_flag=True, help="Print the OpenRPC document of all messages, and end.")
@exit_option
def sidecar(
    model: ModelOptions, lines: bool, slots: int, queue: int, schema: bool, exit_with_parent: bool
) -> None:
    """Complete and chat for another program, by JSON-RPC on standard input and output.

    A desktop program in any language starts it, waits for the message `ready`, and sends requests;
    docs/embedding-any.md has the methods. It ends when its standard input does.

    \b
    Examples:
      refact-edge sidecar bundle
      refact-edge sidecar bundle --lines
      refact-edge sidecar --schema
    """
    require_extra("sidecar", "pydantic")
    if schema:
        from .schema import document

        echo(json.dumps(document(), indent=2))
        return
    if exit_with_parent:
        end_with_parent()
    settings = Settings(slots=slots, queue=queue)
    source, target = _pipes()
    bundle = model.folder(note)
    _log_to_stderr()
    opened = model.load(bundle)
    in_order = _talk(opened, settings, source, target, lines=lines)
    opened.save_caches()
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.flush()
    os._exit(0 if in_order else 1)  # a thread may wait for standard input for ever


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return both pipes for this alone: what a library prints goes to standard error.

    Raises:
        OptionError: when one is closed.

    """
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output")):
        if stream is None or stream.closed:
            raise OptionError(f"standard {name} is closed; the host talks through it")
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb")
    if sys.stderr is not None:
        os.dup2(2, 1)
    return source, target


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _talk(
    opened: Model, settings: Settings, source: BinaryIO, target: BinaryIO, *, lines: bool
) -> bool:
    """Talk until the end; return whether what came were messages, to the last."""
    from .framing import Pipes
    from .methods import Methods
    from .server import Conversation

    async def conversation() -> None:
        service = Service(lambda: opened, settings)
        pipes = Pipes(source, target, ThreadPoolExecutor(2, "pipe"), lines=lines)
        await Conversation(pipes, Methods(service)).run()

    try:
        with contextlib.suppress(KeyboardInterrupt):  # which is how a user may end it
            asyncio.run(conversation())
    except ProtocolError as error:
        note(f"error: {error}")
        return False
    except BrokenPipeError:
        note("the host reads no answers any more")
    return True
