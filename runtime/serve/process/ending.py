"""Running a conversation until this process is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from typing import Any


def run_until_sigterm(conversation: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; SIGTERM cancels it, as Ctrl-C does.

    The loop gets to know of the signal between two of its own steps. An exception that a handler
    raises comes anywhere: in a finalizer or a callback, say, where nobody passes it on.
    """

    async def run() -> None:
        with _cancelled_by_sigterm():
            await conversation

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run())


@contextlib.contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """Have SIGTERM cancel the running task, where systems and threads have such signals."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
