"""Pieces of a stream for those who cannot wait in a loop: an event loop, a callback, a future.

The text is generated in one thread a stream, whoever reads it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from typing import Protocol

OnText = Callable[[str], object]


class Pieces(Protocol):
    """What a stream is to this: pieces of text, all of it so far, and an early end."""

    @property
    def text(self) -> str:
        """All text so far."""
        ...

    def __iter__(self) -> Iterator[str]: ...

    def close(self) -> None:
        """End it."""
        ...


def started(stream: Pieces, on_text: OnText | None = None) -> Future[str]:
    """Generate a stream in a thread of its own, which calls `on_text` with each piece.

    The future has the whole text, or what went wrong, in `on_text` too. It cannot be cancelled:
    close the stream, and it has the text so far.
    """
    future: Future[str] = Future()
    future.set_running_or_notify_cancel()

    def generate() -> None:
        try:
            with closing(stream):
                for piece in stream:
                    if on_text is not None:
                        on_text(piece)
        except BaseException as error:  # goes on where the future is read
            future.set_exception(error)
        else:
            future.set_result(stream.text)

    threading.Thread(target=generate, name="refact-edge stream", daemon=True).start()
    return future


async def pieces(stream: Pieces) -> AsyncGenerator[str]:
    """Yield pieces as they are generated; whoever leaves early ends the generation.

    That returns at once: the thread ends with its next token, or a part of the prompt.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def put(piece: str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody reads on
            loop.call_soon_threadsafe(queue.put_nowait, piece)

    done = started(stream, put)
    done.add_done_callback(lambda _: put(None))
    try:
        while (piece := await queue.get()) is not None:
            yield piece
        done.result()
    finally:
        stream.close()
