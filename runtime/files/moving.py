"""Giving a file or folder another name, which Windows refuses while anything inside is in use.

A virus scanner or an indexer opens what is new for a moment, a session that is only garbage still
maps its file, and a server holds its bundle for as long as it runs.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

_PATIENCE_S, _PAUSE_S = 5.0, 0.1


class InUseError(PermissionError):
    """Some program still uses what was to get another name."""


def rename(old: Path, new: Path) -> None:
    """Rename a file or folder to a name that nothing has.

    Raises:
        InUseError: when something inside is still in use after some seconds, on Windows.
        OSError: when the system refuses.

    """
    _patiently(old.rename, new)


def replace(old: Path, new: Path) -> None:
    """Put a file in the place of another.

    Raises:
        InUseError: when one of them is still in use after some seconds, on Windows.
        OSError: when the system refuses.

    """
    _patiently(old.replace, new)


def _patiently(move: Callable[[Path], object], new: Path) -> None:
    waits, end_s = sys.platform == "win32", perf_counter() + _PATIENCE_S
    while True:
        try:
            move(new)
            return
        except PermissionError as error:
            if not waits:
                raise
            if perf_counter() >= end_s:
                raise InUseError(error.errno, "another program uses it; end that") from error
        gc.collect()
        sleep(_PAUSE_S)
