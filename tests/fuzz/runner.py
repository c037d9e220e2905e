"""How the work is shared: a thread for each core, with servers of its own."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import sanitized
from .kinds import PLAIN, SANITIZED, plan

Result = dict[str, Any]
_TESTS = Path(__file__).parents[1]


class FuzzerError(Exception):
    """The fuzzer itself failed: a server ended, or originals could not be made."""


@dataclass
class Slot:
    """One core's servers, by flavour; each starts when the first mutant needs it."""

    seed: int
    originals: Path
    work: Path
    sanitizer: dict[str, str]
    servers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def do(self, number: int) -> Result:
        """Return what became of a mutant.

        Raises:
            FuzzerError: when the server ends.

        """
        flavour = plan(self.seed, number)[0].flavour
        if flavour == SANITIZED and not self.sanitizer:
            flavour = PLAIN
        server = self.servers.get(flavour) or self._start(flavour)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{number}\n")
        server.stdin.flush()
        line = server.stdout.readline()
        if not line:
            raise FuzzerError(f"the {flavour} server ended at mutant {number} of {self.seed}")
        result: Result = json.loads(line)
        return result

    def close(self) -> None:
        """End the servers."""
        for server in self.servers.values():
            server.communicate()  # which closes what it reads from

    def _start(self, flavour: str) -> subprocess.Popen[str]:
        command = [flavour, str(self.seed), str(self.originals), str(self.work)]
        self.servers[flavour] = server = subprocess.Popen(
            [sys.executable, "-m", "fuzz.server", *command],
            env=_environment() | (self.sanitizer if flavour == SANITIZED else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return server


def _environment() -> dict[str, str]:
    """Return an environment in which nothing starts threads before a fork."""
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONPATH": str(_TESTS), "TOKENIZERS_PARALLELISM": "false"}


def make_originals(folder: Path) -> None:
    """Make what mutants are made from, where it is not there yet.

    Raises:
        FuzzerError: when that fails.

    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fuzz.originals", str(folder)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise FuzzerError(f"the originals could not be made:\n{done.stderr}")


def run(
    seed: int, numbers: Sequence[int], folder: Path, slots: int, *, sanitize: bool = True
) -> Iterator[Result]:
    """Yield what became of each mutant, in the order in which they are done.

    Without `sanitize`, or a compiler for it, plain kernels do what sanitized ones would.

    Raises:
        FuzzerError: when the fuzzer itself fails.

    """
    make_originals(folder / "originals")
    sanitizer = sanitized.build(folder) if sanitize else {}
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    results: queue.SimpleQueue[Result | Exception] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)

    def serve(name: int) -> None:
        slot = Slot(seed, folder / "originals", folder / f"work-{name}", sanitizer)
        try:
            while True:
                results.put(slot.do(waiting.get_nowait()))
        except queue.Empty:
            pass
        except Exception as error:
            results.put(error)
        finally:
            slot.close()

    threads = [threading.Thread(target=serve, args=(i,), daemon=True) for i in range(slots)]
    for thread in threads:
        thread.start()
    try:
        for _ in numbers:
            result = results.get()
            if isinstance(result, Exception):
                raise FuzzerError(str(result)) from result
            yield result
    finally:
        while not waiting.empty():
            waiting.get_nowait()
        for thread in threads:
            thread.join()
