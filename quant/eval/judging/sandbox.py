"""Judging programs that nobody vouches for.

Two processes a program, each in a sandbox of its own and joined by two pipes: the worker runs the
program, the checker runs the published test and calls the program through the pipes. Only the
checker's verdict counts (inside/ says how they speak).
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....runtime.errors import OptionError, SandboxError
from ....runtime.machine.seccomp import ARCHITECTURES
from . import bubblewrap
from .seccomp import build_filter

INSIDE = Path(__file__).parent / "inside"
PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"
LONGEST_TIMEOUT_S, TRIAL_TIMEOUT_S = 3600, 60

Process = subprocess.Popen[bytes]

# Isolated, no site-packages, no bytecode written, no warnings, UTF-8.
_FLAGS = ("-I", "-S", "-B", "-W", "ignore", "-X", "utf8")
_START = (
    "import sys; box, job = sys.argv[1:]; sys.path.append(box); "
    "from inside.{role} import main; sys.path.remove(box); main(job)"
)
_UNSAFE = "or run with --unsafe, which lets generated code do everything that you may do"
_INSTALL = f"install it (apt install bubblewrap; dnf install bubblewrap), {_UNSAFE}"
_ALLOW = f"let it make user namespaces (a container or AppArmor may forbid them), {_UNSAFE}"


@dataclass(frozen=True)
class Limits:
    """What one process may use. `processes` holds for all but root, whom the filter stops."""

    cpu_s: int
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    open_files: int = 32
    processes: int = 0
    core_bytes: int = 0


@dataclass(frozen=True)
class Task:
    """A program and how it is judged.

    Args:
        program: Python source that is run by the worker.
        published: Python source that the checker runs first: helpers that the test may use.
        names: what the checker takes from the program, the entry point among them.
        test: Python source that defines `check(candidate)`.
        entry_point: name of the candidate.

    """

    program: str
    published: str
    names: tuple[str, ...]
    test: str
    entry_point: str


_TRIAL = Task(
    program="def one():\n    return 1\n",
    published="",
    names=("one",),
    test="def check(candidate):\n    assert candidate() == 1\n",
    entry_point="one",
)


@dataclass(frozen=True)
class Verdict:
    """`outcome` is passed, failed or timed out; `detail` says why it did not pass."""

    outcome: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the published test passed."""
        return self.outcome == PASSED


class Sandbox:
    """Judges tasks. Safe to use from several threads."""

    def __init__(self, timeout_s: float, *, unsafe: bool = False) -> None:
        """Find bubblewrap and judge a known program with it once, unless `unsafe`.

        Raises:
            OptionError: when the timeout is none.
            SandboxError: when bubblewrap is missing or cannot run here; says what to do.

        """
        if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
            raise OptionError(
                f"timeout {timeout_s:g}; expected over 0 and at most {LONGEST_TIMEOUT_S} seconds"
            )
        if os.name != "posix":
            raise SandboxError("generated code cannot be run on this system; use Linux")
        self.timeout_s = timeout_s
        self._limits = asdict(Limits(cpu_s=math.ceil(timeout_s) + 1))
        self._bwrap = "" if unsafe else _find()
        self._filter = _filter() if self._bwrap else b""
        self._try()

    def judge(self, task: Task) -> Verdict:
        """Run the program against its test; whatever it does, this returns after `timeout_s`.

        Raises:
            SandboxError: when the sandbox itself could not be made.

        """
        return self._judge(task, self.timeout_s)

    def _judge(self, task: Task, timeout_s: float) -> Verdict:
        with (
            tempfile.TemporaryDirectory(prefix="refact-eval-") as folder,
            self._pair(Path(folder), task) as (worker, checker),
        ):
            try:
                _, output = checker.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                return Verdict(TIMED_OUT, f"no verdict within {timeout_s:g} s")
            _check_made(_written(worker))
        return _read_verdict(output)

    @contextmanager
    def _pair(self, folder: Path, task: Task) -> Iterator[tuple[Process, Process]]:
        """Yield the worker and the checker at its pipes; both are ended afterwards."""
        checks = asdict(task)
        work = {"program": checks.pop("program")}
        requests, answers = os.pipe(), os.pipe()  # each (to read, to write)
        with ExitStack() as running:
            try:
                streams = (requests[0], answers[1])
                worker = running.enter_context(self._start(folder, "worker", work, streams))
                streams = (answers[0], requests[1])
                checker = running.enter_context(self._start(folder, "checker", checks, streams))
            finally:
                for end in (*requests, *answers):  # or the one would not see that the other is gone
                    os.close(end)
            yield worker, checker

    @contextmanager
    def _start(
        self, folder: Path, role: str, work: dict[str, Any], streams: tuple[int, int]
    ) -> Iterator[Process]:
        """Run a role of inside/ on `work`, at these pipes; kill it at the end.

        Both roles give their standard error up before they run anything: what comes out of the
        worker's is bubblewrap's.
        """
        job = folder / f"{role}.json"
        job.write_text(json.dumps({**work, "limits": self._limits}), encoding="utf-8")
        visible = {"/box/inside": INSIDE, "/box/job.json": job}
        box, inner = ("/box", "/box/job.json") if self._bwrap else (str(INSIDE.parent), str(job))
        python = [str(bubblewrap.interpreter()), *_FLAGS, "-c", _START.format(role=role)]
        with _readable(self._filter) as filter_fd:
            wrapped = bubblewrap.command(self._bwrap, visible, filter_fd) if self._bwrap else []
            process = subprocess.Popen(
                [*wrapped, *python, box, inner],
                stdin=streams[0],
                stdout=streams[1],
                stderr=subprocess.PIPE,
                pass_fds=() if filter_fd is None else (filter_fd,),
                start_new_session=True,  # a Ctrl-C is ours, and killing the group kills all of it
                cwd=folder,
                env={"HOME": str(folder)},
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if process.stderr is not None:
                process.stderr.close()
            process.wait()

    def _try(self) -> None:
        verdict = self._judge(_TRIAL, TRIAL_TIMEOUT_S)
        if not verdict.passed:
            what = f"under {self._bwrap}" if self._bwrap else "here"
            raise SandboxError(f"no program can be run {what}: {verdict.detail}; {_ALLOW}")


def _written(process: Process) -> bytes:
    """Return what a process has written to its standard error so far, without waiting."""
    if process.stderr is None:
        return b""
    os.set_blocking(process.stderr.fileno(), False)
    return process.stderr.read() or b""


def _check_made(output: bytes) -> str:
    """Return the last line of a standard error, unless bubblewrap wrote it."""
    text = output.decode(errors="replace").strip()
    last = text.splitlines()[-1] if text else ""
    if last.startswith("bwrap: "):
        raise SandboxError(f"the sandbox could not be made: {last}; {_ALLOW}")
    return last


def _read_verdict(output: bytes) -> Verdict:
    last = _check_made(output)
    try:
        verdict = json.loads(last)
        return Verdict(PASSED if verdict["passed"] is True else FAILED, str(verdict["detail"]))
    except (ValueError, KeyError, TypeError):
        # Out of memory or processor time, for the replies that the program sent.
        return Verdict(FAILED, f"the checker ended without a verdict {last:.200}".rstrip())


def _find() -> str:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError(f"generated code is run under bubblewrap, which is missing; {_INSTALL}")
    return program


def _filter() -> bytes:
    machine = platform.machine()
    if machine in ARCHITECTURES:
        return build_filter(machine)
    if os.geteuid() == 0:  # whom no limit on processes binds
        raise SandboxError(
            f"on {machine} root's programs can start processes without bound; run as another user"
        )
    return b""


@contextmanager
def _readable(content: bytes) -> Iterator[int | None]:
    """Yield an open file with `content` to read; None when there is none."""
    if not content:
        yield None
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, content)  # far less than a pipe holds
        os.close(writing)
        yield reading
    finally:
        os.close(reading)
