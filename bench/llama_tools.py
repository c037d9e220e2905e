"""llama.cpp's own tools that weigh weights by what they meet: an importance matrix, and its use.

They are compiled beside the library when they are first needed, which is some minutes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from bench.peers.build import FLAGS, compile_with

IMATRIX, QUANTIZE = "llama-imatrix", "llama-quantize"
CHUNK_TOKENS = 512  # as our calibration texts have
_WITH_TOOLS = {**FLAGS, "LLAMA_BUILD_COMMON": "ON", "LLAMA_BUILD_TOOLS": "ON"}


def tool(peers: Path, name: str) -> Path:
    """Return the path of a tool in the peers' folder, compiled where it is absent.

    Raises:
        CalledProcessError: when it cannot be compiled.

    """
    program = peers / "llama" / "bin" / name
    if not program.exists():
        click.echo(f"compiling {name}", err=True)
        (source,) = peers.glob("source/*/vendor/llama.cpp")
        compile_with(peers, source, peers / "llama", _WITH_TOOLS, target=name)
    return program


def importance(peers: Path, full: Path, text: str, file: Path) -> None:
    """Have llama.cpp watch what a text's tokens make of each input; special ones are read as such.

    Raises:
        CalledProcessError: when the tool fails.

    """
    calibration = file.with_suffix(".txt")
    calibration.write_text(text, encoding="utf-8")
    _run(
        tool(peers, IMATRIX), "-m", full, "-f", calibration, "-o", file, "-c", CHUNK_TOKENS,
        "--parse-special", "--no-ppl", "-t", 2, "-ngl", 0,
    )  # fmt: skip


def quantize_weighted(peers: Path, full: Path, importances: Path, form: str, file: Path) -> None:
    """Have llama.cpp make a format for the inputs that an importance matrix tells of.

    Raises:
        CalledProcessError: when the tool fails.

    """
    _run(tool(peers, QUANTIZE), "--imatrix", importances, full, file, form, 2)


def _run(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        click.echo(done.stderr[-2000:], err=True)
        done.check_returncode()
