"""Planted faults: each is reported as just what it is."""

from __future__ import annotations

import ctypes
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refact_edge.runtime.errors import BundleError, RefactEdgeWarning

from .outcome import Limits, Outcome, Place
from .watch import watch

if sys.platform != "linux":
    pytest.skip("jobs are watched through /proc and memfd: Linux only", allow_module_level=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "home").mkdir()
    (tmp_path / "target").mkdir()
    return Place(tmp_path / "home", (tmp_path / "target",))


def _limits(**more: float) -> Limits:
    """Return small limits, over what this process has already."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return Limits(seconds=more.get("seconds", 20), resident_bytes=resident + 2**28)


def _refuse(text: str) -> Callable[[], None]:
    def job() -> None:
        raise BundleError(text)

    return job


def _fail() -> None:
    raise KeyError("planted")


def _eat() -> None:
    parts = []
    for _ in range(100):
        parts.append(np.ones(2**24, np.uint8))
        time.sleep(0.01)


def _panic() -> None:
    class PanicError(BaseException):
        pass

    raise PanicError("planted")


def _write_outside() -> None:
    (Path.cwd().parent / "stray").write_text("x")


def _write_at_home() -> None:
    os.close(os.open("stray", os.O_CREAT | os.O_WRONLY))


FAULTS: dict[str, tuple[Callable[[], object], str, str]] = {
    "an exception": (_fail, "raised", "KeyError: 'planted'"),
    "a panic": (_panic, "raised", "PanicError: planted"),
    "a segmentation fault": (lambda: ctypes.string_at(0), "killed", "SIGSEGV"),
    "an abort": (os.abort, "killed", "SIGABRT"),
    "an exit": (lambda: os._exit(3), "killed", "exit code 3"),
    "a print": (lambda: print("planted"), "printed", "planted\n"),  # noqa: T201
    "a write to descriptor 1": (lambda: os.write(1, b"planted"), "printed", "planted"),
    "a file elsewhere": (_write_outside, "wrote", "open "),
    "a file at home": (_write_at_home, "wrote", "open "),
    "a warning of others": (
        lambda: warnings.warn("planted", stacklevel=1),
        "warned",
        "UserWarning",
    ),
    "a refusal of two lines": (_refuse("a\nb"), "unclear", "BundleError: a\nb"),
    "a refusal that says nothing": (_refuse(""), "unclear", "BundleError: "),
    "a refusal with escapes": (_refuse("\x1b[31m"), "unclear", "BundleError: "),
    "a refusal too long to read": (_refuse("x" * 3000), "unclear", "BundleError: "),
    "a sanitizer's report": (
        lambda: os.write(2, b"==1==ERROR: AddressSanitizer: heap-buffer-overflow on x\n"),
        "sanitizer",
        "==1==ERROR: AddressSanitizer: heap-buffer-overflow",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_reported_as_what_it_is(fault: str, place: Place) -> None:
    job, verdict, message = FAULTS[fault]
    outcome = watch(job, place, _limits())
    assert (outcome.verdict, outcome.message[: len(message)]) == (verdict, message)


def test_a_job_that_hangs_is_ended_and_says_where_it_was(place: Place) -> None:
    outcome = watch(lambda: time.sleep(60), place, _limits(seconds=0.3))
    assert outcome.verdict == "slow"
    assert outcome.seconds < 30
    assert "test_watch.py" in outcome.detail


def test_a_job_that_takes_memory_is_ended_or_told_at_its_end(place: Place) -> None:
    assert watch(_eat, place, _limits()).verdict == "large"


def test_what_answers_is_a_fault_where_it_must_refuse(place: Place) -> None:
    assert watch(lambda: None, place, _limits(), refused=True).verdict == "accepted"
    assert watch(_refuse("no"), place, _limits(), refused=True).verdict == "refused"


def _warn_and_write() -> None:
    warnings.warn("slow", RefactEdgeWarning, stacklevel=1)
    (Path.cwd().parent / "target" / "a").write_text("x")


def test_honest_jobs_answer_or_refuse(place: Place) -> None:
    assert watch(_warn_and_write, place, _limits()).verdict == "answered"
    outcome = watch(_refuse("x is 1, expected 2"), place, _limits())
    assert outcome == Outcome(
        "refused", "BundleError: x is 1, expected 2", "", outcome.seconds, outcome.peak_mb
    )
    assert (
        watch(_refuse("wrong:\n  - a\n  - b"), place, _limits(), listed=True).verdict == "refused"
    )
