"""Requests in turn: a bound on how many wait, slots that compute, a model that may be let go.

It knows the model and asyncio, and nothing of HTTP or of any dialect.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ...bundle.contract import Bundle
from ...engine.cancel import CancelToken
from ...engine.sampling import Sampling
from ...errors import (
    BundleError,
    BusyError,
    EndingError,
    OptionError,
    RefactEdgeError,
    ReplacedError,
)
from ...model import Model
from ...stream import Stream, Usage
from ...text.abilities import Abilities, abilities_of
from .run import Run, Slots
from .settings import Settings

Ask = Callable[[Model, CancelToken], Stream]
Warm = Callable[[Model, CancelToken], Usage]
UNSAID = -1.0  # how long the model stays in memory, where a request does not say
_LEAST_WATCH_S = 0.02  # clients may ask for next to no time

logger = logging.getLogger("refact_edge.serve")


@dataclass(frozen=True)
class About:
    """The model's facts, whether it is in memory or not."""

    bundle: Bundle
    variant: str
    parts: tuple[str, ...]
    device: str
    sampling: Sampling
    abilities: Abilities

    @property
    def bytes(self) -> int:
        """Of the weights."""
        return sum(self.bundle.variants[part].bytes for part in self.parts)


class Service:
    """One model and the requests to it. All methods are for one event loop's thread."""

    def __init__(self, open_model: Callable[[], Model], settings: Settings) -> None:
        """Open the model with `open_model` at the first request, and again once it was released."""
        self.settings = settings
        self.keep_s = (
            settings.idle_seconds
        )  # the model stays so long after its last use; None for ever
        self.last_new_tokens = (
            128  # of the last hole: room for them is left when a prompt is evaluated ahead
        )
        self.opened_s = 0.0  # how long the last opening took
        self._open = open_model
        self._model: Model | None = None
        self._about: About | None = None
        self._opening: asyncio.Task[None] | None = None
        self._slots = Slots(settings.slots)
        self._requests = self._warms = self._waiters = 0
        self._runs: set[Run] = set()
        self._latest: dict[str, tuple[int, Run]] = {}  # of each named client, by arrival
        self._arrivals = itertools.count()
        self._warming: CancelToken | None = None
        self._used_s = time.perf_counter()

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    @property
    def goes_s(self) -> float | None:
        """When the model is let go if it is not used again, as the clock tells; None for never."""
        return None if self.keep_s is None else self._used_s + self.keep_s

    @property
    def running(self) -> int:
        """Requests that are computed."""
        return self._slots.busy

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._requests - self.running

    async def model(self) -> Model:
        """Return the model; opens it when it is not in memory.

        Callers may be cancelled while it opens; the opening goes on, for the next one.
        """
        self._used_s = time.perf_counter()
        self._waiters += 1  # or it could be let go again before they see it, and so for ever
        try:
            while self._model is None:
                if self._opening is None:
                    self._opening = asyncio.create_task(self._open_model())
                await asyncio.shield(self._opening)
            return self._model
        finally:
            self._waiters -= 1

    async def _open_model(self) -> None:
        start = time.perf_counter()
        try:
            model = await asyncio.to_thread(self._open)
        except OptionError as error:  # what was right at the start: the bundle is another one now
            raise BundleError(str(error)) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise BundleError(f"{place}{error.strerror or error}") from error
        finally:
            self._opening = None
        self.opened_s = time.perf_counter() - start
        self._about = _about(model)
        self._model = model
        self._used_s = time.perf_counter()

    async def about(self) -> About:
        """Return the model's facts; opens it only if it never was."""
        if self._about is None:
            await self.model()
        assert self._about is not None
        return self._about

    @asynccontextmanager
    async def run(
        self, asks: Sequence[Ask], client: str = "", keep_s: float | None = UNSAID
    ) -> AsyncGenerator[Run]:
        """Begin to answer `asks`, one after the other; hold while the answer is read.

        What is wrong with a request shows here, before anything was computed. Leaving the block
        ends what is still computed. A newer run of the same named client ends its older one. The
        model stays in memory for `keep_s` after it, or as the settings say.

        Raises:
            BusyError: when too many wait already.
            RefactEdgeError: when the model refuses one of them.

        """
        if self._requests >= self.settings.slots + self.settings.queue:
            raise BusyError(
                f"{self._requests} requests are being answered or wait, as many as are allowed; "
                "try again in a moment"
            )
        self._requests += 1
        self.keep_s = self.settings.idle_seconds if keep_s == UNSAID else keep_s
        run = None
        try:
            run = await self._new_run(asks, client, next(self._arrivals))
            yield run
        finally:
            if run is not None:
                await run.end()
                self._runs.discard(run)
                if client in self._latest and self._latest[client][1] is run:
                    del self._latest[client]
            self._requests -= 1
            self._used_s = time.perf_counter()

    async def _new_run(self, asks: Sequence[Ask], client: str, arrival: int) -> Run:
        model, token = await self.model(), CancelToken()
        streams = await asyncio.to_thread(lambda: [ask(model, token) for ask in asks])
        run = Run(streams, token, self._slots, self.settings.max_seconds)
        if client:
            self._replace(client, arrival, run)
        self._runs.add(run)
        return run

    def _replace(self, client: str, arrival: int, run: Run) -> None:
        """End the client's older run; that is this one, when a newer one was quicker to begin."""
        why = ReplacedError("replaced by a newer request of the same client")
        latest, other = self._latest.get(client, (-1, None))
        if latest > arrival:
            raise why
        if other is not None:
            other.refuse(why)
        self._latest[client] = arrival, run

    async def warm(self, warm: Warm) -> Usage:
        """Evaluate a prompt ahead, in place of an earlier one; gives way to any request."""
        if self._warming is not None:
            self._warming.cancel()
        token = self._warming = CancelToken()
        self._warms += 1
        try:
            model = await self.model()
            return await asyncio.to_thread(warm, model, token)
        finally:
            token.cancel()
            self._warms -= 1
            self._used_s = time.perf_counter()

    async def release(self) -> bool:
        """Let the model go, unless it is in use; returns whether it is gone."""
        used = self._requests or self._warms or self._waiters
        if self._model is not None and not used:
            model, self._model = self._model, None
            await asyncio.to_thread(_save, model)
            del model
            gc.collect()
        return self._model is None

    async def watch_idle(self) -> None:
        """Let the model go whenever it was idle for long enough; runs until it is cancelled."""
        while True:
            await asyncio.sleep(max(_LEAST_WATCH_S, min(1.0, self.keep_s or 1.0) / 2))
            idle = time.perf_counter() - self._used_s
            if self.keep_s is not None and self.loaded and idle > self.keep_s:
                await self.release()

    def end_all(self) -> int:
        """End all that is computed, as the server ends; returns how many were cut off."""
        cut_off = list(self._runs)
        for run in cut_off:
            run.refuse(EndingError("the server ends; ask again when it is back"))
        if self._warming is not None:
            self._warming.cancel()
        return len(cut_off)

    async def close(self) -> None:
        """End all that is computed, and save the caches where the user named a folder."""
        self.end_all()
        await asyncio.to_thread(self._slots.threads.shutdown)
        if self._opening is not None:
            await asyncio.wait({self._opening})
        await asyncio.to_thread(self.save_caches)

    def save_caches(self) -> None:
        """Save the caches, where the user named a folder for them."""
        if self._model is not None:
            _save(self._model)


def _about(model: Model) -> About:
    abilities = abilities_of(model.layouts, model.tokens)
    return About(model.bundle, model.variant, model.parts, model.device, model.sampling, abilities)


def _save(model: Model) -> None:
    """Save the caches, where the user named a folder for them; the server goes on without."""
    try:
        model.save_caches()
    except RefactEdgeError as error:
        logger.error("the caches are not saved: %s", error)
