"""What the user of `serve` chooses of the server, apart from its model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from ..console.options import gathered
from ..console.params import PATH
from ..errors import OptionError
from .service.settings import Settings

PORT = 8012  # where llama.cpp's editor plugins look
KEY_VARIABLE = "REFACT_EDGE_API_KEY"


exit_option = click.option(
    "--exit-with-parent", is_flag=True, help="End when the process that started it does."
)


@dataclass(frozen=True)
class ServerOptions:
    """Where the server listens, what it takes, and what it prints."""

    port: int
    unix_socket: Path | None
    name: str | None
    api_key: Path | None
    slots: int
    queue: int
    max_tokens: int
    max_seconds: float
    max_body: int
    max_connections: int
    receive_seconds: float
    idle_seconds: float | None
    honour_prompt_time: bool
    no_special: bool
    allow_host: tuple[str, ...]
    allow_origin: tuple[str, ...]
    log_text: bool
    quiet: bool
    ready_json: bool
    sandbox: bool

    def settings(self, name: str) -> Settings:
        """Return the server's settings; `name` is the model's where the user named none.

        Raises:
            OptionError: when a value makes no sense, or the key cannot be read.

        """
        return Settings(
            name=self.name or name,
            slots=self.slots,
            queue=self.queue,
            max_body_bytes=self.max_body,
            max_connections=self.max_connections,
            receive_seconds=self.receive_seconds,
            max_tokens=self.max_tokens,
            max_seconds=self.max_seconds,
            idle_seconds=self.idle_seconds,
            honour_prompt_time=self.honour_prompt_time,
            parse_special=not self.no_special,
            log_text=self.log_text,
            api_key=_key(self.api_key),
            hosts=frozenset(map(str.lower, self.allow_host)),
            origins=frozenset(self.allow_origin),
        )


_OPTIONS = (
    click.option(
        "--port", default=PORT, show_default=True, help="On loopback; 0 for any free one."
    ),
    click.option("--unix-socket", type=PATH, help="Listen at this path, in place of a port."),
    click.option("--name", help="The model's name in lists and answers."),
    click.option(
        "--api-key",
        type=PATH,
        help=f"A file with a key that requests must bring; or set {KEY_VARIABLE}.",
    ),
    click.option(
        "--slots", default=Settings.slots, show_default=True, help="Requests computed at once."
    ),
    click.option(
        "--queue", default=Settings.queue, show_default=True, help="Requests that may wait."
    ),
    click.option(
        "--max-tokens",
        default=Settings.max_tokens,
        show_default=True,
        help="The most new tokens of a request.",
    ),
    click.option(
        "--max-seconds",
        default=Settings.max_seconds,
        show_default=True,
        help="Time limit for computing a request, in s.",
    ),
    click.option(
        "--max-body",
        default=Settings.max_body_bytes,
        show_default=True,
        help="The most bytes of a request's body.",
    ),
    click.option(
        "--max-connections",
        default=Settings.max_connections,
        show_default=True,
        help="Connections open at once; fewer where the process may open few files.",
    ),
    click.option(
        "--receive-seconds",
        default=Settings.receive_seconds,
        show_default=True,
        help="Time limit for receiving a request's head, and each KiB of its body, in s.",
    ),
    click.option(
        "--idle-seconds", type=float, help="Let the model leave memory after so long without use."
    ),
    click.option("--honour-prompt-time", is_flag=True, help="Obey llama.cpp's t_max_prompt_ms."),
    click.option(
        "--no-special", is_flag=True, help="Read special tokens in raw prompts as plain text."
    ),
    click.option(
        "--allow-host", multiple=True, help="Another host name of this server; repeatable."
    ),
    click.option(
        "--allow-origin",
        multiple=True,
        help="A web page's origin that may call; repeatable. 'http://localhost:*' is any port, "
        "'vscode-webview://*' any webview (as moz-extension and chrome-extension), "
        "'https://*.example.com' any name below. null is what file:// pages send, and so can every "
        "site on the web, from a sandboxed frame: have a key then.",
    ),
    click.option("--log-text", is_flag=True, help="Put what users write in the log."),
    click.option("--quiet", is_flag=True, help="Log problems only."),
    click.option("--ready-json", is_flag=True, help="Print one line of JSON instead of addresses."),
    click.option(
        "--sandbox",
        is_flag=True,
        help="Once it listens, open no file, no connection and no program any more (Linux).",
    ),
)

server_options = gathered("server", ServerOptions, _OPTIONS)


def _key(file: Path | None) -> str | None:
    """Return the key from a file or the environment; None where neither has one."""
    source, content = f"--api-key {file}", os.environ.get(KEY_VARIABLE, "")
    if file is None and not content:
        return None
    if file is None:
        source = KEY_VARIABLE
    else:
        try:
            content = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise OptionError(f"{source} cannot be read: {reason}") from error
    key = content.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise OptionError(f"{source}: expected one word in ASCII, the key")
    return key
