"""The command serve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import click

from ..bundle.contract import TOKENIZER
from ..console.options import ModelOptions, model_options
from ..console.params import bundle_argument
from ..errors import MissingExtraError
from ..model import Model
from ..opening.demo import find_demo
from ..text.prompts import WITHOUT_HOLES
from ..trust.check import open_bundle
from .options import KEY_VARIABLE, ServerOptions, exit_option, server_options
from .process.greeting import Greeting, key_in_shell
from .process.listening import listening
from .process.output import note, say
from .process.parent import end_with_parent
from .process.sandbox import check_sandbox, enter_sandbox
from .service.settings import Settings


@click.command()
@model_options(bundle_argument)
@server_options
@exit_option
def serve(model: ModelOptions, server: ServerOptions, exit_with_parent: bool) -> None:
    """Serve BUNDLE, or the demo's, to editors and clients on this machine.

    Speaks the dialects of OpenAI, llama.cpp, Ollama and Refact. Ctrl-C ends it.

    \b
    Examples:
      refact-edge serve bundle
      refact-edge serve bundle --port 8080 --idle-seconds 600
      refact-edge serve bundle --unix-socket /run/user/1000/refact.sock
      refact-edge serve bundle --port 0 --ready-json --exit-with-parent
      refact-edge serve bundle --allow-origin 'http://localhost:*'
    """
    if exit_with_parent:
        end_with_parent()
    require_extra("serve", "starlette", "uvicorn", "pydantic", "prometheus_client")
    if server.sandbox:
        model = _sandboxed(model, server)
    bundle = model.folder(note)
    settings = server.settings(name_of(bundle))
    models = [model.load(bundle)]  # what is wrong with it shows before anything is bound
    key = key_in_shell(server.api_key, KEY_VARIABLE) if settings.api_key else ""
    if not models[0].layouts.shows_suffix():
        note(WITHOUT_HOLES)
    greeting = Greeting(settings.name, models[0].variant, models[0].device, key)
    # The list lets go of it, so that it can leave memory when it is idle.

    def open_model() -> Model:
        return models.pop() if models else model.load(bundle)

    _serve(open_model, settings, server, greeting, bundle / TOKENIZER)
    note("ended")


def _sandboxed(model: ModelOptions, server: ServerOptions) -> ModelOptions:
    """Check options that a sandbox is among, and return them with a CPU as what auto is."""
    options = {"--caches": model.caches, "--idle-seconds": server.idle_seconds}
    check_sandbox(device=model.device, **options)
    return replace(model, device="cpu")


def _serve(
    open_model: Callable[[], Model],
    settings: Settings,
    server: ServerOptions,
    greeting: Greeting,
    tokenizer: Path,
) -> None:
    """Serve a model until Ctrl-C."""
    from .app import create_app
    from .process.logs import logging_to_stderr
    from .web.files import read_ahead
    from .web.pages import PAGE
    from .web.server import Server

    app = create_app(open_model, settings)
    with (
        listening(server.port, server.unix_socket) as (listener, address),
        # Ctrl-C is how it is meant to end; uvicorn raises it again when it has ended.
        contextlib.suppress(KeyboardInterrupt),
        logging_to_stderr(quiet=server.quiet),
    ):
        ready = greeting.as_json if server.ready_json else greeting.text
        socket = server.unix_socket

        def started() -> None:
            if server.sandbox:
                read_ahead([*filter(Path.is_file, PAGE.iterdir()), tokenizer])
                enter_sandbox(unlinks=socket is not None)
            say(ready(address, socket))

        Server(app, listener, settings, started=started).run()


def require_extra(extra: str, *packages: str) -> None:
    """Find out before anything is opened whether all is installed.

    Raises:
        MissingExtraError: when something is not.

    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)


def name_of(bundle: Path) -> str:
    """Return the model's name: as its exporter called it, else the folder's."""
    if bundle == find_demo():
        return "demo"
    return open_bundle(bundle).name or bundle.resolve().name
