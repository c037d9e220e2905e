"""Ending with another process: the parent that started a server, or the editor behind it.

A thread waits for that process and then sends this one SIGTERM, so that it ends as if it had been
told to: while a model opens, while it answers, or at rest. On Windows no parent can be seen, and it
waits for the other end of standard input to be closed; see `inputpipe.py`.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ...errors import OptionError
from .input_pipe import InputPipe
from .windows_process import WindowsProcess

_POLL_S = 0.5  # where the system cannot say when a process ends
_REAPERS = ("systemd",)  # besides process 1, whose child is what lost its parent


def end_with_parent() -> None:
    """End this process when its parent does.

    Raises:
        OptionError: when the parent has already ended, or that cannot be seen.

    """
    if sys.platform == "win32":
        _watch(None, InputPipe().has_other_end)
        return
    parent = os.getppid()
    if _is_reaper(parent):
        raise OptionError(
            f"the process that started this one has ended: its parent is process {parent}, which "
            "adopts orphans; leave --exit-with-parent out where that one starts it"
        )
    _watch(_open(parent), lambda: os.getppid() == parent)


def end_with(process: int) -> None:
    """End this process when another one does, or has."""
    if sys.platform == "win32":
        _watch(None, WindowsProcess(process).lives)
    else:
        _watch(_open(process), lambda: _exists(process))


def _watch(descriptor: int | None, lives: Callable[[], bool]) -> None:
    """End this process when another one ends: when its descriptor says so, or it lives no more."""

    def wait() -> None:
        # Asked when the descriptor is open, which is then one of the process that lives.
        while lives():
            if descriptor is None:
                time.sleep(_POLL_S)
            else:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                poll.poll()
                break
        _end()

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _open(process: int) -> int | None:
    """Return a descriptor that can be read once the process has ended, where there are such."""
    pidfd_open: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    if pidfd_open is None:
        return None
    try:
        return pidfd_open(process)
    except OSError:  # there is no such process, or the kernel is old or forbids it
        return None


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_reaper(process: int) -> bool:
    """Whether a process is one that the system gives orphans to."""
    try:
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = ""
    return process == 1 or name in _REAPERS


def _end() -> None:
    if sys.platform == "win32":  # where no thread can be sent a signal
        _thread.interrupt_main(signal.SIGTERM)
        return
    # To the main thread: another one that gets the signal leaves it waiting for what comes next.
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)
