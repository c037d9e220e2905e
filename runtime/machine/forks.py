"""Locks that a forked process finds open.

A fork copies a lock as it is, and no thread that could open it: whoever waits for it in the child
waits for ever. multiprocessing forks by default on Linux before Python 3.14, as gunicorn --preload.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

_locks: weakref.WeakSet[ForkableLock] = weakref.WeakSet()


class ForkableLock:
    """A lock for `with`, made anew in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


def _open_all() -> None:
    for lock in list(_locks):
        lock._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
