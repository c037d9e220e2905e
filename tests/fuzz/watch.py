"""What a job's process did: it answered, it refused, or it showed a fault.

The process is forked, so that a caller with everything imported pays milliseconds for it. The
caller must have no other threads, which would not live on in the child.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .child import live
from .outcome import (
    ANSWERED,
    FINE,
    LARGE,
    REFUSED,
    SLOW,
    TAIL_LINES,
    Limits,
    Outcome,
    Place,
    shortened,
)

_LOOK_MS = 20
_STACKS_S = 0.3  # that a process has for writing its stacks before it is killed
_LONGEST_REFUSAL = 2000  # characters
_COMPLAINT = re.compile(r"^.*(?:ERROR: \w*Sanitizer: \S+|runtime error: .*)", re.MULTILINE)


def watch(
    job: Callable[[], object],
    place: Place,
    limits: Limits,
    *,
    listed: bool = False,
    refused: bool = False,
) -> Outcome:
    """Do a job in a process of its own, and judge it.

    Args:
        job: called without arguments in the process.
        place: where it may write.
        limits: what it may take.
        listed: whether a refusal may be a list of several lines.
        refused: whether it is a fault not to refuse.

    """
    start = time.monotonic()
    report, *streams = (os.memfd_create(name) for name in ("report", "stdout", "stderr"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a test's process may have threads
        pid = os.fork()
    if pid == 0:
        live(job, place, limits, report, streams)
    reason, status, peak_bytes = _wait(pid, start, limits)
    written, printed, errors = map(_content, (report, *streams))
    outcome = _judge(written, status, errors, reason)
    if outcome.verdict in FINE:
        outcome = _look_again(outcome, printed, place, listed=listed, refused=refused)
    if outcome.verdict in FINE and peak_bytes > limits.resident_bytes:
        outcome = replace(outcome, verdict=LARGE, message="took too much memory at its peak")
    seconds = round(time.monotonic() - start, 3)
    return replace(outcome, seconds=seconds, peak_mb=peak_bytes >> 20)


def _wait(pid: int, start: float, limits: Limits) -> tuple[str, int, int]:
    """Wait for a process, and end it when it takes too much; return why, its status and peak."""
    reason, noticed = "", 0.0
    process = os.pidfd_open(pid)
    ended = select.poll()
    ended.register(process, select.POLLIN)
    while not ended.poll(_LOOK_MS):
        now = time.monotonic()
        if not reason:
            if reason := _excess(pid, now - start, limits):
                os.kill(pid, signal.SIGUSR1)
                noticed = now
        elif now - noticed > _STACKS_S:
            os.kill(pid, signal.SIGKILL)
    os.close(process)
    _, status, usage = os.wait4(pid, 0)
    return reason, status, usage.ru_maxrss << 10


def _excess(pid: int, seconds: float, limits: Limits) -> str:
    if seconds > limits.seconds:
        return SLOW
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return ""  # it has just ended
    return LARGE if pages * resource.getpagesize() > limits.resident_bytes else ""


def _content(stream: int) -> str:
    with os.fdopen(stream, "rb") as file:
        file.seek(0)
        return file.read(10**6).decode("utf-8", "replace")


def _judge(report: str, status: int, errors: str, reason: str) -> Outcome:
    """Say how the process ended, or what it says itself."""
    lines = errors.splitlines()
    if complaint := _COMPLAINT.search(errors):
        behind = errors[complaint.start() :].splitlines()
        return Outcome("sanitizer", complaint.group(), shortened(behind[:TAIL_LINES]))
    # A stack begins where faulthandler's does: what follows it is a list of modules.
    first = next((i for i, line in enumerate(lines) if "most recent call first" in line), 0)
    stack = shortened(lines[max(0, first - 3) :][:TAIL_LINES])
    if reason:
        return Outcome(reason, f"ended, as it was too {reason}", stack)
    if os.WIFSIGNALED(status):
        return Outcome("killed", signal.Signals(os.WTERMSIG(status)).name, stack)
    if os.WEXITSTATUS(status) or not report:
        return Outcome("killed", f"exit code {os.WEXITSTATUS(status)}", stack)
    return Outcome(**json.loads(report))


def _look_again(
    outcome: Outcome, printed: str, place: Place, *, listed: bool, refused: bool
) -> Outcome:
    """Look at what a job left behind, and at how it refused."""
    if printed:
        return replace(outcome, verdict="printed", message=printed[:300])
    if left := sorted(path.name for path in place.home.iterdir()):
        return replace(outcome, verdict="wrote", message=f"into its home: {', '.join(left[:5])}")
    if outcome.verdict == ANSWERED:
        return replace(outcome, verdict="accepted") if refused else outcome
    _, _, text = outcome.message.partition(": ")
    line = text.replace("\n  - ", "") if listed else text
    if not line.strip() or not line.isprintable() or len(line) > _LONGEST_REFUSAL:
        return replace(outcome, verdict="unclear")
    return replace(outcome, verdict=REFUSED, detail="")
