"""How a command line is written for the shell that users of this system have: sh or PowerShell."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

_PLAIN = re.compile(r"[\w.:\\/][\w.:\\/-]*", re.ASCII)  # which PowerShell takes as it is


def quoted(text: str) -> str:
    """Return a word that the shell takes as it is."""
    if sys.platform == "win32":
        return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "''") + "'"
    return shlex.quote(text)


def variable(name: str) -> str:
    """Return how a variable of the environment is read within double quotes."""
    return f"$env:{name}" if sys.platform == "win32" else f"${name}"


def content(file: Path) -> str:
    """Return how a file's content is read within double quotes."""
    command = "Get-Content" if sys.platform == "win32" else "cat"
    return f"$({command} {quoted(str(file))})"


def post(address: str, body: str, *, key: str = "", socket: Path | None = None) -> str:
    """Return the command that posts JSON, with a key as the shell reads it, to a server.

    Through a `socket` the address is a path on it.
    """
    if sys.platform == "win32":
        header = f' -Headers @{{Authorization = "Bearer {key}"}}' if key else ""
        options = f"-Method Post -ContentType application/json{header}"
        return f"Invoke-RestMethod {address} {options} -Body {quoted(body)}"
    header = f' -H "Authorization: Bearer {key}"' if key else ""
    place = f"--unix-socket {socket} {address}" if socket else address
    return f"curl {place}{header} -d {quoted(body)}"
