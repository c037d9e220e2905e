"""A job's own process: its limits, and what Python can tell of how the job ended."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from refact_edge.runtime.errors import RefactEdgeError, RefactEdgeWarning

from .outcome import ANSWERED, REFUSED, TAIL_LINES, Limits, Outcome, Place, shortened

LARGEST_FILE_BYTES = 2**30
_MOST_CHARACTERS = 5000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate",
}  # fmt: skip


def live(
    job: Callable[[], object], place: Place, limits: Limits, report: int, streams: list[int]
) -> NoReturn:
    """Do the job, write an Outcome to the descriptor `report`, and end the process.

    Descriptors 1 and 2 become those of `streams`.
    """
    try:
        _settle(place, limits, streams)
        outcome = _run(job, place)
        os.write(report, json.dumps(asdict(outcome)).encode())
        sys.stdout.flush()
    finally:
        os._exit(0)


def _settle(place: Place, limits: Limits, streams: list[int]) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    os.chdir(place.home)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        os.environ[name] = str(place.home)
    tempfile.tempdir = None  # which it remembers
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
    if limits.address_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.address_bytes, limits.address_bytes))
    if not limits.sanitized:
        faulthandler.enable(sys.stderr)
    faulthandler.register(signal.SIGUSR1, sys.stderr)  # asked for before it is ended


def _run(job: Callable[[], object], place: Place) -> Outcome:
    writes: list[str] = []
    sys.addaudithook(lambda event, args: _note_write(event, args, place, writes))
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            job()
            outcome = Outcome(ANSWERED)
        except RefactEdgeError as error:
            message = f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]
            outcome = Outcome(REFUSED, message, _stack(error))
        except BaseException as error:  # pyo3's panics are no Exceptions
            message = f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]
            return Outcome("raised", message, _stack(error))
    if writes:
        return Outcome("wrote", writes[0])
    for warning in raised:
        if not issubclass(warning.category, RefactEdgeWarning):
            message = f"{warning.category.__name__}: {warning.message}"[:_MOST_CHARACTERS]
            return Outcome(
                "warned", message, f'File "{warning.filename}", line {warning.lineno}, in ?'
            )
    return outcome


def _stack(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error, limit=-12)).splitlines()
    return shortened(lines[-TAIL_LINES:])


def _note_write(event: str, args: tuple[Any, ...], place: Place, writes: list[str]) -> None:
    """Note what Python code changes outside the folders that it may write into."""
    if event == "open":
        if not int(args[2] or 0) & _WRITES:
            return
    elif event not in _CHANGES:
        return
    if not isinstance(args[0], str | bytes | os.PathLike):
        return  # a descriptor, which was opened before
    path = Path.cwd() / os.fsdecode(args[0])
    allowed = (*place.writable, Path(os.devnull))
    if not any(path.is_relative_to(folder) for folder in allowed) or ".." in path.parts:
        writes.append(f"{event} {path}")
