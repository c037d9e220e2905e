"""The command serve."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import click

from ..bundle.contract import read_bundle
from ..console.cli import PATH, engine_option
from ..errors import MissingExtraError, OptionError
from ..model import Model
from ..opening.demo import demo_bundle, find_demo
from ..opening.load import load
from ..opening.plan import PREFILL
from .process.greeting import Greeting, key_in_shell
from .process.listening import listening
from .process.output import note, say
from .process.parent import end_with_parent
from .service.settings import Settings

PORT = 8012  # where llama.cpp's editor plugins look
REFACT_SHAPE = (32, 2048)  # layers and width
KEY_VARIABLE = "REFACT_EDGE_API_KEY"


_MODEL_OPTIONS = (
    click.argument("bundle", type=PATH, required=False),
    click.option("--variant", help="int4, int8, fp32, fp16 or hybrid; the best for the device."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--threads", type=int, help="CPU threads; one a physical core by default."),
    engine_option,
    click.option(
        "--prefill", default=PREFILL[0], help="What reads prompts: the same or openvino (int4)."
    ),
    click.option("--caches", type=PATH, help="A folder that keeps what was read for next time."),
    click.option(
        "--copy-weights", is_flag=True, help="Read weights into memory, whatever becomes of files."
    ),
)


exit_option = click.option(
    "--exit-with-parent", is_flag=True, help="End when the process that started it does."
)


def model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which model is opened, and how."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


@click.command()
@model_options
@click.option("--port", default=PORT, show_default=True, help="On loopback; 0 for any free one.")
@click.option("--unix-socket", type=PATH, help="A socket's path, in place of a port.")
@click.option("--name", help="The model's, as it is listed.")
@click.option(
    "--api-key", type=PATH, help=f"A file with a key that requests must bring; or {KEY_VARIABLE}."
)
@click.option("--slots", default=Settings.slots, show_default=True, help="Requests at once.")
@click.option("--queue", default=Settings.queue, show_default=True, help="Requests that may wait.")
@click.option(
    "--max-tokens", default=Settings.max_tokens, show_default=True, help="New ones, of a request."
)
@click.option(
    "--max-seconds", default=Settings.max_seconds, show_default=True, help="Of a request."
)
@click.option(
    "--max-body", default=Settings.max_body_bytes, show_default=True, help="Bytes, of a request."
)
@click.option(
    "--max-connections",
    default=Settings.max_connections,
    show_default=True,
    help="Open at once; fewer where few files may be open.",
)
@click.option(
    "--receive-seconds",
    default=Settings.receive_seconds,
    show_default=True,
    help="For a request's head to come, and for each KiB of its body.",
)
@click.option("--idle-seconds", type=float, help="Then an unused model leaves memory.")
@click.option("--honour-prompt-time", is_flag=True, help="Obey llama.cpp's t_max_prompt_ms.")
@click.option("--no-special", is_flag=True, help="Special tokens in raw prompts stay text.")
@click.option("--allow-host", multiple=True, help="Another name of this server; repeatable.")
@click.option(
    "--allow-origin",
    multiple=True,
    help="A web page's origin; repeatable. 'http://localhost:*' is any port, 'vscode-webview://*' "
    "any webview (as moz-extension and chrome-extension), 'https://*.example.com' any name below. "
    "null is what file:// pages send, and so can every site on the web, from a sandboxed frame: "
    "have a key then.",
)
@click.option("--log-text", is_flag=True, help="Put what users write in the log.")
@click.option("--quiet", is_flag=True, help="Log problems only.")
@click.option("--ready-json", is_flag=True, help="Print one line of JSON instead of addresses.")
@exit_option
def serve(
    bundle: Path | None,
    port: int,
    unix_socket: Path | None,
    variant: str | None,
    device: str,
    threads: int | None,
    engine: str,
    prefill: str,
    caches: Path | None,
    copy_weights: bool,
    name: str | None,
    api_key: Path | None,
    slots: int,
    queue: int,
    max_tokens: int,
    max_seconds: float,
    max_body: int,
    max_connections: int,
    receive_seconds: float,
    idle_seconds: float | None,
    honour_prompt_time: bool,
    no_special: bool,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    log_text: bool,
    quiet: bool,
    ready_json: bool,
    exit_with_parent: bool,
) -> None:
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
    bundle = chosen_bundle(bundle)
    settings = Settings(
        name=name or name_of(bundle),
        slots=slots,
        queue=queue,
        max_body_bytes=max_body,
        max_connections=max_connections,
        receive_seconds=receive_seconds,
        max_tokens=max_tokens,
        max_seconds=max_seconds,
        idle_seconds=idle_seconds,
        honour_prompt_time=honour_prompt_time,
        parse_special=not no_special,
        log_text=log_text,
        api_key=_key(api_key),
        hosts=frozenset(map(str.lower, allow_host)),
        origins=frozenset(allow_origin),
    )
    open_model = opener(
        bundle, variant, device, threads, engine, prefill, caches, copy_weights=copy_weights
    )
    opened = [open_model()]  # what is wrong with it shows before anything is bound
    from .app import create_app
    from .process.logs import logging_to_stderr
    from .web.server import Server

    app = create_app(lambda: opened.pop() if opened else open_model(), settings)
    with (
        listening(port, unix_socket) as (listener, address),
        # Ctrl-C is how it is meant to end; uvicorn raises that anew when it has ended.
        contextlib.suppress(KeyboardInterrupt),
        logging_to_stderr(quiet=quiet),
    ):
        greeting = Greeting(
            address,
            unix_socket,
            settings.name,
            opened[0].variant,
            opened[0].device,
            key_in_shell(api_key, KEY_VARIABLE) if settings.api_key else "",
        )
        lines = [greeting.as_json()] if ready_json else greeting.lines()
        Server(app, listener, settings, started=lambda: say("\n".join(lines))).run()
    note("ended")


def require_extra(extra: str, *packages: str) -> None:
    """Find out before anything is opened whether all is installed.

    Raises:
        MissingExtraError: when something is not.

    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)


def chosen_bundle(bundle: Path | None) -> Path:
    """Return the bundle that was named, or the demo's, and say so.

    Raises:
        BundleError: when none was named and there is no demo's.

    """
    if bundle is not None:
        return bundle
    found = demo_bundle()
    note("using the demo bundle, a toy model; name another")
    return found


def opener(
    bundle: Path,
    variant: str | None,
    device: str,
    threads: int | None,
    engine: str,
    prefill: str,
    caches: Path | None,
    *,
    copy_weights: bool,
) -> Callable[[], Model]:
    """Return what opens the model, as often as it is called."""

    def open_model() -> Model:
        return load(
            bundle,
            variant=variant,
            device=device,
            threads=threads,
            engine=engine,
            prefill=prefill,
            caches=caches,
            copy_weights=copy_weights,
        )

    return open_model


def name_of(bundle: Path) -> str:
    """Return the model's name: Refact's for its shape, else the folder's."""
    sizes = read_bundle(bundle).sizes
    if (sizes.layers, sizes.width) == REFACT_SHAPE:
        return Settings.name
    return "demo" if bundle == find_demo() else bundle.resolve().name


def _key(file: Path | None) -> str | None:
    """Return the key from a file or the environment; None when neither was given."""
    where, given = f"--api-key {file}", os.environ.get(KEY_VARIABLE, "")
    if file is None and not given:
        return None
    if file is None:
        where = KEY_VARIABLE
    else:
        try:
            given = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise OptionError(f"{where} cannot be read: {reason}") from error
    key = given.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise OptionError(f"{where}: expected one word in ASCII, the key")
    return key
