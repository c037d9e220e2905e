"""What a server says when it is ready: to its user, or to the program that started it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .... import __version__
from ...machine.shell import content, post, variable

DIALECTS = ("openai", "llama.cpp", "ollama", "refact")


@dataclass(frozen=True)
class Greeting:
    """What a server serves.

    Args:
        name: of the model, as it is listed.
        variant: that was opened.
        device: that computes.
        key: as a shell writes it, where one is needed.

    """

    name: str
    variant: str
    device: str
    key: str = ""

    def text(self, address: str, socket: Path | None) -> str:
        """Return the addresses, and one line to try.

        `address` is a URL, or the path of a `socket`.
        """
        base = "http://localhost" if socket else address
        body = {"prompt": "import os, ", "suffix": "\n", "max_tokens": 16, "temperature": 0}
        lines = [f"{self.name}, {self.variant} on {self.device}, at {address}"]
        if socket is None:
            lines += [
                f"  playground    {address}/",
                f"  OpenAI        {address}/v1",
                f"  llama.vim     {address}/infill",
                f"  Ollama        {address}",
                f"  Refact        {address}",
            ]
        url = f"{base}/v1/completions"
        lines.append(f"try: {post(url, json.dumps(body), key=self.key, socket=socket)}")
        lines.append("Ctrl-C ends it.")
        return "\n".join(lines)

    def as_json(self, address: str, socket: Path | None) -> str:
        """Return one line for a program; host and port are null where there is a socket."""
        url = urlsplit(address) if socket is None else None
        return json.dumps(
            {
                "host": url and url.hostname,
                "port": url and url.port,
                "unix_socket": socket and str(socket.absolute()),
                "pid": os.getpid(),
                "dialects": DIALECTS,
                "model": self.name,
                "variant": self.variant,
                "device": self.device,
                "api_key": bool(self.key),
                "version": __version__,
            }
        )


def key_in_shell(file: Path | None, name: str) -> str:
    """Return how a shell reads the key from where the server has it."""
    return content(file) if file is not None else variable(name)
