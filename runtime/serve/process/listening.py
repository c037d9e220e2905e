"""The socket that is listened at: on loopback, or a path for one user alone."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import OptionError
from ..service.settings import LOOPBACK


@contextmanager
def listening(
    port: int, path: Path | None, option: str = "--port"
) -> Iterator[tuple[socket.socket, str]]:
    """Bind to loopback or a socket's path, and yield what listens and its address.

    Raises:
        OptionError: when it cannot be bound.

    """
    if path is not None:
        with _listening_at(path) as listener:
            yield listener, str(path)
        return
    if not 0 <= port < 2**16:
        raise OptionError(f"{option} {port}; expected 0 to 65535")
    # The protocol is named, as asyncio sends small pieces at once only where it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, _own_port(), 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            raise OptionError(
                f"port {port} cannot be bound ({error.strerror}); name another with {option}"
            ) from error
        listener.listen()  # who reads the address may connect, and waits for us
        yield listener, f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _own_port() -> int:
    """Return the option by which a port is this process's alone, and free at once when it ends."""
    if sys.platform == "win32":
        # There SO_REUSEADDR lets any process of any user bind the port once more.
        return socket.SO_EXCLUSIVEADDRUSE
    return socket.SO_REUSEADDR


@contextmanager
def _listening_at(path: Path) -> Iterator[socket.socket]:
    """Listen at a path, for this user alone; remove it in the end."""
    if not hasattr(socket, "AF_UNIX"):
        raise OptionError("--unix-socket: Python has none on this system; use --port")
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        _remove_dead(path)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise OptionError(f"--unix-socket {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    try:
        listener.listen()
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens at any more."""
    if path.exists() and not path.is_socket():
        raise OptionError(f"--unix-socket {path} is there and no socket; name another path")
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as other:
        try:
            other.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
