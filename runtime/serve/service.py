"""Requests in turn: a bound on how many wait, slots that compute, a model that may be let go.

It knows the model and asyncio, and nothing of HTTP or of any dialect.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..bundle import Bundle
from ..errors import BusyError
from ..model import Model
from ..sampling import Sampling
from ..stream import CancelToken, Stream, Usage
from .run import Run, Slots
from .settings import Settings

Ask = Callable[[Model, CancelToken], Stream]
Warm = Callable[[Model, CancelToken], Usage]


@dataclass(frozen=True)
class About:
    """What is known of the model, in memory or not."""

    bundle: Bundle
    variant: str
    parts: tuple[str, ...]
    device: str
    sampling: Sampling

    @property
    def bytes(self) -> int:
        """Of the weights."""
        return sum(self.bundle.variants[part].bytes for part in self.parts)


class Service:
    """One model and the requests to it. All methods are for one event loop's thread."""

    def __init__(self, open_model: Callable[[], Model], settings: Settings) -> None:
        """Open the model with `open_model` at the first request, and anew when it was let go."""
        self.settings = settings
        self.idle_seconds = settings.idle_seconds
        self.opened_s = 0.0  # how long the last opening took
        self._open = open_model
        self._model: Model | None = None
        self._about: About | None = None
        self._opening = asyncio.Lock()
        self._slots = Slots(settings.slots)
        self._asked = 0
        self._runs: set[Run] = set()
        self._latest: dict[str, Run] = {}
        self._warming: CancelToken | None = None
        self._used_s = time.monotonic()

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    @property
    def running(self) -> int:
        """Requests that are computed."""
        return self._slots.taken

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._asked - self.running

    async def model(self) -> Model:
        """Return the model; opens it when it is not in memory."""
        self._used_s = time.monotonic()
        async with self._opening:
            if self._model is None:
                start = time.monotonic()
                model = await asyncio.to_thread(self._open)
                self.opened_s = time.monotonic() - start
                self._about = About(
                    model.bundle, model.variant, model.parts, model.device, model.sampling
                )
                self._model = model
            return self._model

    async def about(self) -> About:
        """Return what is known of the model; opens it only if it never was."""
        if self._about is None:
            await self.model()
        assert self._about is not None
        return self._about

    @asynccontextmanager
    async def run(self, asks: Sequence[Ask], client: str = "") -> AsyncGenerator[Run]:
        """Begin to answer `asks`, one after the other; hold while the answer is read.

        What is wrong with a request shows here, before anything was computed. Leaving the block
        ends what is still computed. A newer run of the same named client ends its older one.

        Raises:
            BusyError: when too many wait already.
            RefactEdgeError: when the model refuses one of them.

        """
        if self._asked >= self.settings.slots + self.settings.queue:
            raise BusyError(
                f"{self.running} requests are being answered and {self.waiting} wait, as many as "
                "are allowed; try again in a moment"
            )
        self._asked += 1
        run = None
        try:
            run = await self._new_run(asks, client)
            yield run
        finally:
            if run is not None:
                await run.end()
                self._runs.discard(run)
                if self._latest.get(client) is run:
                    del self._latest[client]
            self._asked -= 1
            self._used_s = time.monotonic()

    async def _new_run(self, asks: Sequence[Ask], client: str) -> Run:
        model, token = await self.model(), CancelToken()
        streams = await asyncio.to_thread(lambda: [ask(model, token) for ask in asks])
        run = Run(streams, token, self._slots, self.settings.max_seconds)
        if client:
            if (older := self._latest.get(client)) is not None:
                older.replace()
            self._latest[client] = run
        self._runs.add(run)
        return run

    async def warm(self, warm: Warm) -> Usage:
        """Read ahead, in place of what else is read ahead; gives way to any request."""
        if self._warming is not None:
            self._warming.cancel()
        token = self._warming = CancelToken()
        model = await self.model()
        try:
            return await asyncio.to_thread(warm, model, token)
        finally:
            token.cancel()
            self._used_s = time.monotonic()

    async def release(self) -> bool:
        """Let the model go, unless something is computed; returns whether it is gone."""
        async with self._opening:
            if self._model is not None and not self._asked:
                await asyncio.to_thread(self._model.save_caches)
                self._model = None
                gc.collect()
            return self._model is None

    async def watch_idle(self) -> None:
        """Let the model go whenever it was idle for long enough; runs until it is cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self.idle_seconds or 1.0) / 2)
            idle = time.monotonic() - self._used_s
            if self.idle_seconds is not None and self.loaded and idle > self.idle_seconds:
                await self.release()

    async def close(self) -> None:
        """End all that is computed, and keep what was read where that is wanted."""
        for run in list(self._runs):
            run.cancel()
        if self._warming is not None:
            self._warming.cancel()
        await asyncio.to_thread(self._slots.threads.shutdown)
        if self._model is not None:
            await asyncio.to_thread(self._model.save_caches)
