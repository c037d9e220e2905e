"""What each method does with the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from .... import __version__
from ...engine.cancel import CancelToken
from ...engine.sampling import Sampling
from ...errors import OptionError, RefactEdgeError
from ...model import Model
from ...stream import Stream
from ...stream import Usage as Counts
from ...text.cursor import Cursor
from ...text.limits import Limits
from ..process.parent import end_with
from ..service.run import Run
from ..service.service import Ask, Service
from ..service.statistics import Statistics
from . import shapes
from .shapes import PROTOCOL, CompleteParams, CursorParams, Id, SamplingParams

logger = logging.getLogger("refact_edge.sidecar")

OnPiece = Callable[[str], Awaitable[None]]
_REMEMBERED = 64  # completions that may still be accepted


class Methods:
    """One model, for all windows of a host."""

    def __init__(self, service: Service) -> None:
        self.service, self.statistics = service, Statistics()
        self._runs: dict[Id, Run] = {}
        self._cancelled: set[Id] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cursors: dict[Id, tuple[Cursor, str]] = {}  # of completions, with their texts

    async def initialize(self, params: shapes.InitializeParams) -> shapes.Initialized:
        """Say what the model is, and end with the host from now on."""
        if params.protocol.partition(".")[0] != PROTOCOL.partition(".")[0]:
            raise OptionError(
                f"protocol {params.protocol!r:.20}; this sidecar speaks {PROTOCOL}: install the "
                "client and refact-edge of one version"
            )
        if params.process_id is not None:
            if not 0 < params.process_id < 2**31:
                raise OptionError(f"processId {params.process_id}; expected 1 to {2**31 - 1}")
            end_with(params.process_id)
        info = (await self.service.model()).info()
        return shapes.Initialized(
            protocol=PROTOCOL, version=__version__, model=shapes.Model(**vars(info))
        )

    async def complete(self, params: CompleteParams, id: Id, on_piece: OnPiece) -> shapes.Generated:
        """Write what belongs at a cursor."""
        cursor = _cursor(params)
        limits = Limits(params.max_tokens, params.prompt_ms, params.total_ms, params.stop)

        def ask(model: Model, cancel: CancelToken) -> Stream:
            sampling = _sampling(model, params)
            return model.complete_at(cursor, limits, sampling=sampling, cancel=cancel)

        text = await self._generate(ask, params, id, on_piece)
        if text.text.strip():
            self.statistics.suggestions += 1
            self._cursors[id] = cursor, text.text
            while len(self._cursors) > _REMEMBERED:
                del self._cursors[next(iter(self._cursors))]
        return text

    async def chat(self, params: shapes.ChatParams, id: Id, on_piece: OnPiece) -> shapes.Generated:
        """Answer the last message."""
        messages = [message.model_dump() for message in params.messages]

        def ask(model: Model, cancel: CancelToken) -> Stream:
            return model.chat(
                messages,
                max_tokens=params.max_tokens,
                stop=params.stop or (),
                sampling=_sampling(model, params),
                cancel=cancel,
            )

        return await self._generate(ask, params, id, on_piece)

    async def warm(self, params: shapes.WarmParams) -> shapes.Usage:
        """Evaluate a prompt ahead."""
        cursor = _cursor(params)

        def warm(model: Model, cancel: CancelToken) -> Counts:
            return model.warm_at(cursor, params.max_tokens, cancel=cancel)

        return _usage(await self.service.warm(warm))

    def cancel(self, id: Id) -> None:
        """End a request that is not answered yet, whether it has begun or not."""
        self._cancelled.add(id)
        if id in self._runs:
            self._runs[id].cancel()

    def accept(self, params: shapes.RequestParams) -> None:
        """Count a completion as accepted, and prepare the one that is asked for next.

        Raises:
            OptionError: when there was no such completion, or it is long ago.

        """
        if params.id not in self._cursors:
            raise OptionError(
                f"request {params.id!r:.40} is none of the last {_REMEMBERED} completions with a "
                "text; expected the id of one"
            )
        self.statistics.accepted += 1
        cursor, text = self._cursors.pop(params.id)
        task = asyncio.create_task(self._prepare(cursor, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prepare(self, cursor: Cursor, text: str) -> None:
        accepted = replace(cursor, prefix=cursor.prefix + text)
        try:
            await self.service.warm(lambda model, cancel: model.warm_at(accepted, cancel=cancel))
        except RefactEdgeError as error:  # the next request tells of it
            logger.info("not evaluated ahead: %s", error)

    def stats(self) -> shapes.Stats:
        """Return counts since the start."""
        counts = dict(vars(self.statistics))
        del counts["rejected"]
        return shapes.Stats(
            **counts, running=self.service.running, waiting=max(0, self.service.waiting)
        )

    def answered(self, id: Id) -> None:
        """Forget that a request was cancelled: another one may have its id."""
        self._cancelled.discard(id)

    async def _generate(
        self, ask: Ask, params: SamplingParams, id: Id, on_piece: OnPiece
    ) -> shapes.Generated:
        self.statistics.requests += 1
        async with self.service.run([ask], client=params.window) as run:
            self._runs[id] = run
            try:
                if id in self._cancelled:
                    run.cancel()
                async with aclosing(aiter(run)) as pieces:
                    async for piece in pieces:
                        if params.stream and piece.text:
                            await on_piece(piece.text)
            except asyncio.CancelledError:  # while it waited for its turn
                if id not in self._cancelled:
                    raise
            finally:
                del self._runs[id]
            stream = run.streams[0]
        self.statistics.add(stream.usage)
        finish = run.finish(0) or "cancelled"
        return shapes.Generated(text=stream.text, finish=finish, usage=_usage(stream.usage))


def _cursor(params: CursorParams) -> Cursor:
    extra = [(file.name, file.text) for file in params.extra]
    return Cursor(params.prefix, params.suffix, extra, params.filename, multiline=params.multiline)


def _sampling(model: Model, params: SamplingParams) -> Sampling:
    return model.sampling_with(
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p,
        seed=params.seed,
    )


def _usage(usage: Counts) -> shapes.Usage:
    return shapes.Usage(prompt=usage.prompt, cached=usage.cached, new=usage.new)
