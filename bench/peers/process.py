"""The driver's end of a worker: starts the process, asks it, and reads its memory."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from refact_edge.runtime.bench.memory import Memory, memory_now

ROOT = Path(__file__).parents[2]


class WorkerError(Exception):
    """A worker ended before it answered, or refused a request; the text says why."""


class Worker:
    """A running worker; `imported_s` and `loaded_s` count from its start."""

    def __init__(self, command: Sequence[str], seen: Mapping[str, str], log: Path) -> None:
        """Start it and return at once.

        `seen` are settings of its environment, `log` takes what it writes to standard error.
        """
        self._log = log
        outside = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        with log.open("w") as errors:
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**outside, **seen},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.versions: dict[str, str] = {}
        self.imported_s = self.loaded_s = 0.0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait_until_loaded(self) -> None:
        """Wait for the line that says so.

        Raises:
            WorkerError: when it ends instead.

        """
        ready = self._reply()
        self.versions = ready["versions"]
        self.imported_s = ready["imported"] - self.started
        self.loaded_s = ready["loaded"] - self.started

    def ask(self, do: str, **request: object) -> dict[str, Any]:
        """Have it do a piece of work.

        Raises:
            WorkerError: when it ends instead.

        """
        self.send(do, **request)
        return self._reply()

    def send(self, do: str, **request: object) -> None:
        """Ask without waiting; a worker reads its first request when it is loaded."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()

    def first_reply(self) -> tuple[dict[str, Any], float]:
        """Wait until it is loaded and has done what was sent; return that and the time since exec.

        Raises:
            WorkerError: when it ends instead.

        """
        self.wait_until_loaded()
        return self._reply(), time.monotonic() - self.started

    def memory(self) -> Memory:
        """Return what the system says of it now."""
        return memory_now(Path(f"/proc/{self._process.pid}"))

    def close(self) -> None:
        """End it and wait until it is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = [text for text in self._log.read_text().splitlines() if text.strip()]
            raise WorkerError(said[-1] if said else "it ended without a word")
        reply: dict[str, Any] = json.loads(line)
        return reply
