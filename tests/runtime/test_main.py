"""The command line's way in, on Windows."""

from __future__ import annotations

import errno
import signal
import sys
import warnings
from typing import Any

import pytest

from refact_edge.runtime import __main__ as main
from refact_edge.runtime.console.cli import cli


@pytest.fixture(autouse=True)
def kept_state(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep what `_run` sets in the process from lasting; return what handles signals."""
    handlers: list[Any] = []
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(signal, "signal", lambda number, _handler: handlers.append(number))
    monkeypatch.setattr(main, "_discard_output", lambda: None)
    monkeypatch.setattr(sys, "argv", ["refact-edge", "--help"])
    return handlers


def test_windows_ctrl_break_ends_a_command_as_sigterm_does(
    kept_state: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    assert main._run() == 0
    assert kept_state == [signal.SIGTERM, 21]


@pytest.mark.parametrize(
    ("system", "error", "told"),
    [
        ("win32", OSError(errno.EINVAL, "Invalid argument"), ""),
        (
            "win32",
            OSError(errno.EINVAL, "Invalid argument", "a?b"),
            "error: a?b: Invalid argument\n",
        ),
        ("linux", OSError(errno.EINVAL, "Invalid argument"), "error: Invalid argument\n"),
        ("linux", BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
    ],
)
def test_output_that_nobody_reads_is_no_error_by_any_name(
    system: str,
    error: OSError,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", failing)
    monkeypatch.setattr(sys, "platform", system)
    assert main._run() == 1
    assert capsys.readouterr().err == told
