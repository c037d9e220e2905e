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
    """Where a server is, and what it serves.

    Args:
        address: as a URL; a socket's path where there is no port.
        socket: that path, if any.
        name: of the model, as it is listed.
        variant: that was opened.
        device: that computes.
        key: as a shell writes it, where one is needed.

    """

    address: str
    socket: Path | None
    name: str
    variant: str
    device: str
    key: str = ""

    def lines(self) -> list[str]:
        """Return the addresses, and one line to try."""
        place = "http://localhost" if self.socket else self.address
        body = {"prompt": "import os, ", "suffix": "\n", "max_tokens": 16, "temperature": 0}
        lines = [f"{self.name}, {self.variant} on {self.device}, at {self.address}"]
        if self.socket is None:
            lines += [
                f"  playground    {self.address}/",
                f"  OpenAI        {self.address}/v1",
                f"  llama.vim     {self.address}/infill",
                f"  Ollama        {self.address}",
                f"  Refact        {self.address}",
            ]
        url = f"{place}/v1/completions"
        lines.append(f"try: {post(url, json.dumps(body), key=self.key, socket=self.socket)}")
        lines.append("Ctrl-C ends it.")
        return lines

    def as_json(self) -> str:
        """Return one line for a program; host and port are null where there is a socket."""
        place = urlsplit(self.address) if self.socket is None else None
        return json.dumps(
            {
                "host": place and place.hostname,
                "port": place and place.port,
                "unix_socket": self.socket and str(self.socket.absolute()),
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
