"""Who may compute: requests at any time, warming only while there is none."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..machine.forks import ForkableLock
from .cancel import CancelToken


class Turns:
    """Ends all warming as soon as a request begins, and lets none begin beside one."""

    def __init__(self) -> None:
        self._requests = 0
        self._warming: list[CancelToken] = []
        self._lock = ForkableLock()

    @contextmanager
    def request(self) -> Generator[None]:
        """Hold while a request is computed."""
        with self._lock:
            self._requests += 1
            for token in self._warming:
                token.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1

    @contextmanager
    def warming(self, token: CancelToken) -> Generator[None]:
        """Hold while something is computed ahead; `token` is cancelled when it must end."""
        with self._lock:
            if self._requests:
                token.cancel()
            self._warming.append(token)
        try:
            yield
        finally:
            with self._lock:
                self._warming.remove(token)
