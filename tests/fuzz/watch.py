"""What a job's process did: it ran, it refused, or it showed a fault.

The process is forked, so that a caller with everything imported pays milliseconds for it. The
caller must have no other threads.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from refact_edge.runtime.errors import RefactEdgeError, RefactEdgeWarning

ANSWERED, REFUSED = "answered", "refused"
_WATCH_S = 0.02
_TAIL_LINES = 25
_LONGEST_REFUSAL = 2000  # characters
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGING = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
}


@dataclass(frozen=True)
class Limits:
    """What a job may take. No limit on addresses for sanitized code, which reserves terabytes."""

    seconds: float = 20
    resident_bytes: int = 2**30
    address_bytes: int | None = 2**34
    native_stacks: bool = False  # leave signals to the sanitizer, which says more


@dataclass(frozen=True)
class Place:
    """Where a job may look for itself: an empty home, and the folders it may write into."""

    home: Path
    writable: tuple[Path, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    verdict: str  # ANSWERED, REFUSED, or what kind of fault it is
    message: str = ""
    detail: str = ""  # the last lines of a stack
    seconds: float = 0
    peak_mb: int = 0


def watch(
    job: Callable[[], object],
    place: Place,
    limits: Limits,
    *,
    lines: bool = False,
    must_refuse: bool = False,
) -> Outcome:
    """Run a job in a process of its own, and judge it; `lines` lets a refusal have several."""
    inward, outward = os.pipe()
    streams = [os.memfd_create(name) for name in ("stdout", "stderr")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a test's process may have threads
        pid = os.fork()
    if pid == 0:
        _live(job, place, limits, outward, streams)
    os.close(outward)
    start = time.monotonic()
    reason, status, peak = _wait(pid, inward, start, limits)
    seconds = time.monotonic() - start
    printed, errors = map(_content, streams)
    with os.fdopen(inward, "rb") as stream:
        report = stream.read()
    outcome = _judge(report, status, errors, reason)
    if outcome.verdict in (ANSWERED, REFUSED):
        outcome = _look_again(outcome, printed, place, lines=lines, must_refuse=must_refuse)
    if outcome.verdict in (ANSWERED, REFUSED) and peak > limits.resident_bytes:
        outcome = replace(outcome, verdict="large", message="it took too much memory at its peak")
    return replace(outcome, seconds=round(seconds, 3), peak_mb=peak >> 20)


def _live(
    job: Callable[[], object], place: Place, limits: Limits, outward: int, streams: Sequence[int]
) -> NoReturn:
    """Be the job's process."""
    try:
        _settle(place, limits, streams)
        report = _run(job, place)
        os.write(outward, json.dumps(asdict(report)).encode())
        sys.stdout.flush()
    finally:
        os._exit(0)


def _settle(place: Place, limits: Limits, streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
    os.chdir(place.home)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        os.environ[name] = str(place.home)
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    if limits.address_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.address_bytes, limits.address_bytes))
    if not limits.native_stacks:
        faulthandler.enable(sys.stderr)
    faulthandler.register(signal.SIGUSR1, sys.stderr)


def _run(job: Callable[[], object], place: Place) -> Outcome:
    wrong: list[str] = []
    sys.addaudithook(lambda event, args: _note_writes(event, args, place, wrong))
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        try:
            job()
            outcome = Outcome(ANSWERED)
        except RefactEdgeError as error:
            outcome = Outcome(REFUSED, f"{type(error).__name__}: {error}", _stack(error))
        except BaseException as error:  # pyo3's panics are no Exceptions
            name = type(error).__name__
            return Outcome("raised", f"{name}: {error}"[:1000], _stack(error))
    if wrong:
        return Outcome("wrote", wrong[0])
    for other in others:
        if not issubclass(other.category, RefactEdgeWarning):
            text = f"{other.category.__name__}: {other.message}"
            return Outcome("warned", text, f"{other.filename}:{other.lineno}")
    return outcome


def _stack(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error, limit=-12)).splitlines()
    return "\n".join(line[:300] for line in lines[-_TAIL_LINES:])


def _note_writes(event: str, args: tuple[Any, ...], place: Place, wrong: list[str]) -> None:
    """Note what Python code changes outside the folders that it may write into."""
    if event == "open":
        if not isinstance(args[0], str | bytes) or not int(args[2] or 0) & _WRITES:
            return
    elif event not in _CHANGING:
        return
    path = (
        Path(os.path.abspath(os.fsdecode(args[0])))
        if isinstance(args[0], str | bytes | os.PathLike)
        else None
    )  # noqa: PTH100, E501 - links are not to be followed
    if (
        path
        and path != Path(os.devnull)
        and not any(path.is_relative_to(one) for one in place.writable)
    ):
        wrong.append(f"{event} {path}")


def _wait(pid: int, inward: int, start: float, limits: Limits) -> tuple[str, int, int]:
    """Wait for a process, and end it when it takes too much; return why, its status and peak."""
    reason, killed_at = "", 0.0
    ended = select.poll()
    ended.register(inward, select.POLLHUP)
    while True:
        ended.poll(1000 * _WATCH_S)
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return reason, status, usage.ru_maxrss << 10
        now = time.monotonic()
        if not reason:
            reason = _excess(pid, now - start, limits)
            if reason:
                os.kill(pid, signal.SIGUSR1)  # which writes its stacks
                killed_at = now
        elif now - killed_at > 0.2:
            os.kill(pid, signal.SIGKILL)


def _excess(pid: int, seconds: float, limits: Limits) -> str:
    if seconds > limits.seconds:
        return "slow"
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return ""  # it has just ended
    return "large" if resident > limits.resident_bytes else ""


def _content(stream: int) -> str:
    with os.fdopen(stream, "rb") as file:
        file.seek(0)
        return file.read(10**6).decode("utf-8", "replace")


_SANITIZER = re.compile(r"^.*(?:ERROR: \w*Sanitizer: \S+|runtime error: .*)", re.MULTILINE)


def _judge(report: bytes, status: int, errors: str, reason: str) -> Outcome:
    tail = "\n".join(line[:300] for line in errors.splitlines()[-_TAIL_LINES:])
    complaint = _SANITIZER.search(errors)
    if complaint:
        lines = errors[complaint.start() :].splitlines()
        detail = "\n".join(line[:300] for line in lines[:_TAIL_LINES])
        return Outcome("sanitizer", complaint.group(), detail)
    if reason:
        return Outcome(
            reason, {"slow": "ended after its time", "large": "ended for its memory"}[reason], tail
        )
    if os.WIFSIGNALED(status):
        return Outcome("killed", signal.Signals(os.WTERMSIG(status)).name, tail)
    if os.WEXITSTATUS(status) or not report:
        return Outcome("killed", f"exit code {os.WEXITSTATUS(status)}", tail)
    return Outcome(**json.loads(report))


def _look_again(
    outcome: Outcome, printed: str, place: Place, *, lines: bool, must_refuse: bool
) -> Outcome:
    """Look at what a job left behind, and at how it refused."""
    if printed:
        return replace(outcome, verdict="printed", message=printed[:300])
    if left := sorted(path.name for path in place.home.iterdir()):
        return replace(outcome, verdict="wrote", message=f"into its home: {', '.join(left[:5])}")
    if outcome.verdict == ANSWERED:
        return replace(outcome, verdict="accepted") if must_refuse else outcome
    _, _, text = outcome.message.partition(": ")
    allowed = text.replace("\n  - ", "") if lines else text
    if not allowed.strip() or not allowed.isprintable() or len(allowed) > _LONGEST_REFUSAL:
        return replace(outcome, verdict="unclear")
    return replace(outcome, detail="")
