"""One request on its way: it waits for a slot and computes in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ...engine.cancel import CancelToken
from ...stream import Stream


@dataclass(frozen=True)
class Piece:
    """Some text of one of the streams, with the new tokens that it had by then.

    The last piece of a stream has no text, and `ended`.
    """

    index: int
    text: str
    tokens: int
    at_s: float  # of the clock
    ended: bool = False


class Slots:
    """So many may compute at once; those who wait get their turn in order."""

    def __init__(self, number: int) -> None:
        """Have `number` slots, and a thread for each."""
        self.busy = 0
        self.threads = ThreadPoolExecutor(number, "generate")
        self._free = asyncio.Semaphore(number)

    def queue(self) -> asyncio.Future[bool]:
        """Return what is done when a slot is free for its caller."""
        return asyncio.ensure_future(self._free.acquire())

    async def take(self, position: asyncio.Future[bool]) -> None:
        """Wait for a slot from a position in the queue; when cancelled, leave it."""
        try:
            await position
        except asyncio.CancelledError:
            if not position.cancel() and not position.cancelled():
                self._free.release()  # got it at the same time
            raise
        self.busy += 1

    def give(self) -> None:
        """Give a slot back."""
        self.busy -= 1
        self._free.release()


class Run:
    """Streams of one request, computed one after the other. Iterate once, for their pieces."""

    def __init__(
        self, streams: Sequence[Stream], token: CancelToken, slots: Slots, limit_s: float
    ) -> None:
        """Compute nothing yet; `limit_s` is counted from when it is computed."""
        self.streams = tuple(streams)
        self.expired = False
        self._why: Exception | None = None  # it was ended from outside
        self.arrival_s = time.perf_counter()  # these are readings of the clock
        self.begun_s = self.ended_s = 0.0
        self._first: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._token, self._slots, self._limit_s = token, slots, limit_s
        self._pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
        self._waiting: asyncio.Future[bool] | None = None
        self._iterator: AsyncGenerator[Piece] | None = None

    @property
    def first_s(self) -> float:
        """When the first text of all was there; 0 while there was none."""
        return self._first.get(0, 0.0)

    def finish(self, index: int) -> str:
        """Return why a stream ended: as `Stream.finish`, but for the time limit of all."""
        finish = self.streams[index].finish
        return "time" if finish == "cancelled" and self.expired else finish

    def times(self, index: int) -> tuple[float, float, float]:
        """Return when a stream's computing began, wrote its first text and ended, in seconds."""
        begun = self._ended.get(index - 1, self.begun_s)
        now = time.perf_counter()
        ended = self._ended.get(index, now)
        return begun, self._first.get(index, ended), ended

    def cancel(self) -> None:
        """End it with the next chunk of a prompt or the next token."""
        self._token.cancel()
        if self._waiting is not None:
            self._waiting.cancel()

    def refuse(self, why: Exception) -> None:
        """End it; who iterates over it gets `why` as an exception."""
        self._why = why
        self.cancel()

    async def end(self) -> None:
        """End it, and wait until nothing of it is computed any more."""
        self.cancel()
        if self._iterator is not None:
            await self._iterator.aclose()

    def __aiter__(self) -> AsyncGenerator[Piece]:
        self._iterator = self._iterate()
        return self._iterator

    async def _iterate(self) -> AsyncGenerator[Piece]:
        await self._take_slot()
        loop = asyncio.get_running_loop()
        self.begun_s = time.perf_counter()
        limit = loop.call_later(self._limit_s, self._expire)
        done = loop.run_in_executor(self._slots.threads, self._compute, loop)
        # Not in the block below, where a second cancelling may come while it waits.
        done.add_done_callback(lambda _: self._slots.give())
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                if self._why is not None:
                    raise self._why
                self._first.setdefault(piece.index, piece.at_s)
                if piece.ended:
                    self._ended[piece.index] = piece.at_s
                yield piece
        finally:
            limit.cancel()
            self._token.cancel()
            self.ended_s = time.perf_counter()
            await asyncio.shield(done)

    async def _take_slot(self) -> None:
        self._waiting = self._slots.queue()
        try:
            await self._slots.take(self._waiting)
        except asyncio.CancelledError:
            if self._why is not None:
                raise self._why from None
            raise
        finally:
            self._waiting = None

    def _expire(self) -> None:
        self.expired = True
        self._token.cancel()

    def _compute(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the streams, in a thread of its own."""

        def put(piece: Piece | BaseException | None) -> None:
            loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

        try:
            for index, stream in enumerate(self.streams):
                with stream:
                    for text in stream:
                        put(Piece(index, text, stream.usage.new, time.perf_counter()))
                put(Piece(index, "", stream.usage.new, time.perf_counter(), ended=True))
        except BaseException as error:  # goes on in the event loop's thread
            put(error)
        put(None)
