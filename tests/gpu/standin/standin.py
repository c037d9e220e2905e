"""Builds the CUDA runtime that computes nothing, and runs programs of onnxruntime-gpu on it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("runtime.cpp")
# The libraries that onnxruntime-gpu opens, all of which it stands in for.
LIBRARIES = (
    "libcudart.so.13",
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcurand.so.10",
    "libcuda.so.1",
)
MARK = "MARK"  # lines that a program writes between the runtime's own


@dataclass(frozen=True)
class Event:
    """What the runtime was asked for: a kind, its words, and whether inside a capture."""

    kind: str
    words: str
    captured: bool


def build(headers: Path, folder: Path) -> Path:
    """Compile it into a folder, under all its names; `headers` holds those of CUDA's packages."""
    (include,) = headers.glob("nvidia/*/include")
    library = folder / "libnothing.so"
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", f"-I{include}", SOURCE, "-o", library],
        check=True,
    )
    for name in LIBRARIES:
        (folder / name).symlink_to(library)
    return folder


@dataclass(frozen=True)
class StandIn:
    """A folder of such libraries, and one to write into."""

    libraries: Path
    scratch: Path

    def run(
        self, program: str, *arguments: object, **settings: object
    ) -> tuple[subprocess.CompletedProcess[str], list[Event]]:
        """Run a program beside this file; `settings` are the runtime's, in lower case."""
        log = self.scratch / "log"
        log.unlink(missing_ok=True)
        own = {f"NOTHING_{name.upper()}": str(value) for name, value in settings.items()}
        completed = subprocess.run(
            [sys.executable, Path(__file__).with_name(program), *map(str, arguments)],
            env={
                **os.environ,
                **own,
                "NOTHING_LOG": str(log),
                "LD_LIBRARY_PATH": str(self.libraries),
                "REFACT_EDGE_CACHE": str(self.scratch / "cache"),
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        return completed, list(map(_event, _demangled(log)))


def mark(words: str) -> None:
    """Write a line between the runtime's own, in the program that runs on it."""
    with Path(os.environ["NOTHING_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{MARK} {words}\n")


def _demangled(log: Path) -> list[str]:
    if not log.exists():
        return []
    with log.open(encoding="utf-8", errors="replace") as lines:
        plain = subprocess.run(
            ["c++filt"], stdin=lines, capture_output=True, text=True, check=True
        ).stdout
    return plain.splitlines()


def _event(line: str) -> Event:
    captured = line.startswith("[capture] ")
    kind, _, words = line.removeprefix("[capture] ").partition(" ")
    return Event(kind, words, captured)
