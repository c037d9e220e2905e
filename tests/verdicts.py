"""Verdicts of a sandbox on programs, and the processes that these left, by a mark on each."""

import contextlib
import time
import uuid
from pathlib import Path

from refact_edge.quant.eval.judging.sandbox import Sandbox, Task, Verdict

TIMEOUT_S = 8.0
BRIEF_S = 1.0
SLACK_S = 4.0  # the machine may be busy
MARK = f"sandbox-test-{uuid.uuid4()}"
TEST = "def check(candidate):\n    assert candidate() == 42\n    assert candidate() != 43\n"
RIGHT = "def answer():\n    return 42\n"


def task(program: str, test: str = TEST) -> Task:
    """Return a program whose `answer()` a test checks; `RIGHT` passes."""
    return Task(program, "", ("answer",), test, "answer")


def judge(box: Sandbox, program: str, test: str = TEST) -> Verdict:
    """Judge, and see that it took no longer than the timeout and left no process behind."""
    before = time.monotonic()
    verdict = box.judge(task(program, test))
    assert time.monotonic() - before < TIMEOUT_S + SLACK_S
    assert_none_left()
    return verdict


def assert_none_left() -> None:
    """Give marked processes five seconds to end.

    Raises:
        AssertionError: One of them still runs.

    """
    left = running()
    for _ in range(50):
        if not left:
            return
        time.sleep(0.1)
        left = running()
    raise AssertionError(f"still running: {left}")


def running() -> list[bytes]:
    """Return the command lines of all processes that bear the mark."""
    commands = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            command = (folder / "cmdline").read_bytes()
            commands += [command] * (MARK.encode() in command)
    return commands
