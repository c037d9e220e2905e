"""How many connections the process has descriptors for, and what accepts no more than that.

Out of descriptors, asyncio writes an error for each of 2,048 attempts to accept a connection, and
tries so again every second.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
import weakref
from pathlib import Path
from typing import Any

_PARTING = 8  # connections more, which get a refusal
# For the files of a model that is opened again, for the event loop, and for those that part.
_RESERVE = 24 + _PARTING
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOG_EVERY_S = 60.0

logger = logging.getLogger("refact_edge.serve")


def connection_limit(most: int) -> int:
    """Return how many connections there may be: `most`, or fewer where descriptors are few."""
    if sys.platform == "win32":
        return most
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return most
    return max(1, min(most, limit - _open_descriptors() - _RESERVE))


def _open_descriptors() -> int:
    try:
        return len(list(Path("/dev/fd").iterdir()))
    except OSError:  # not everywhere is there such a folder
        return _RESERVE


class Refusals:
    """Counts connections that are turned away, and says so in the log once a minute at most."""

    def __init__(self, limit: int) -> None:
        """Count those beyond `limit`."""
        self.limit, self.count = limit, 0
        self._next_s = 0.0

    def add(self) -> None:
        """Count one."""
        self.count += 1
        if time.perf_counter() >= self._next_s:
            self._next_s = time.perf_counter() + _LOG_EVERY_S
            fields = {
                "limit": self.limit,
                "refused": self.count,
                "help": "--max-connections and the limit of open files (ulimit -n) set it",
            }
            logger.warning("too many connections", extra={"fields": fields})


class Listener(socket.socket):
    """A listening socket that has no more connections open at once than there are descriptors for.

    Those beyond are sent `refusal` and closed. They are accepted for that, as a connection that
    waits to be accepted would have the event loop come back at once.
    """

    def __init__(self, listener: socket.socket, refusals: Refusals, refusal: bytes) -> None:
        """Take over a listening socket."""
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self._refusals, self._refusal = refusals, refusal
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._spare = _spare()

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection and its address.

        Raises:
            BlockingIOError: when there is none, or it was turned away.

        """
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._accept_with_spare()
            raise BlockingIOError from error
        if not self._has_room():
            self._refuse(connection)
            raise BlockingIOError
        self._open.add(connection)
        return connection, address

    def close(self) -> None:
        """Close it, and the descriptor that is held in reserve."""
        super().close()
        _close(self._spare)
        self._spare = None

    def _has_room(self) -> bool:
        most = self._refusals.limit + _PARTING
        if len(self._open) >= most:
            self._open = weakref.WeakSet(one for one in self._open if one.fileno() >= 0)
        return len(self._open) < most

    def _accept_with_spare(self) -> None:
        """Turn a connection away in place of the descriptor that is held in reserve for it."""
        if self._spare is None:
            time.sleep(0.01)  # somebody else has it: not to ask again and again without a rest
        _close(self._spare)
        with contextlib.suppress(OSError):
            connection, _ = super().accept()
            self._refuse(connection)
        self._spare = _spare()

    def _refuse(self, connection: socket.socket) -> None:
        self._refusals.add()
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(self._refusal)


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
