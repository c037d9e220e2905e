"""Ending a generation from outside."""

from __future__ import annotations

import threading


class CancelToken:
    """Ends a generation from another thread: at its next chunk of prompt or next token."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the generation to end."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()
