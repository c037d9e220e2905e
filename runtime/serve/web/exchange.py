"""From an HTTP request to an answer in its dialect.

An endpoint reads its request into a shape, hands it to a function that returns a job, and
sends the job's answer whole or piece by piece. A dialect differs from another in shapes, in framing
and in how it reports errors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ...errors import ContextError
from ..service.run import Piece, Run
from ..service.service import UNSAID, Ask, Service
from ..service.settings import Settings
from .bodies import Bodies, Share
from .errors import KINDS, is_for_the_log, response_to
from .framing import Json, Reply, Shape, dumps
from .log import log_request, logger
from .metrics import Metrics
from .reading import shaped

_LARGE_BYTES = 2**16  # of a body that others should not wait for

ErrorJson = Callable[[int, str, str], Json]  # of a status, its kind in words, and a message
TooLongJson = Callable[[ContextError], Json]


@dataclass(frozen=True)
class Job:
    """What to ask of the model, and how to reply.

    A newer job of the same `client` ends an older one; of an unnamed client none does. The model
    stays in memory for `keep_s` after it.
    """

    asks: Sequence[Ask]
    reply: Reply
    stream: bool
    client: str = ""
    keep_s: float | None = UNSAID


@dataclass
class Call:
    """One request on its way through the server."""

    service: Service
    settings: Settings
    metrics: Metrics
    bodies: Bodies
    request: Request
    arrival_s: float = field(default_factory=time.perf_counter)
    text: str = ""  # its body, where that goes to the log

    @property
    def client(self) -> str:
        """The name that the client gave itself, if any."""
        return self.request.headers.get("x-client-id", "")


Handler = Callable[[Call, Any], Awaitable[Job | Response]]


@dataclass(frozen=True)
class Dialect:
    """A family of endpoints that report errors alike."""

    name: str
    error: ErrorJson
    too_long: TooLongJson

    def error_json(self, error: Exception, status: int, message: str) -> Json:
        """Return what a client reads of an error."""
        if isinstance(error, ContextError):
            return self.too_long(error)
        return self.error(status, KINDS.get(status, "server_error"), message)


@dataclass(frozen=True)
class Endpoint:
    """One path: what it takes, who answers, and what comes back."""

    method: str
    path: str
    dialect: Dialect
    handle: Handler
    summary: str
    request: type[Shape] | None = None
    response: type[Shape] | None = None
    public: bool = False  # needs no key
    media_type: str = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application."""
        call = _call(scope, receive)
        sent = _Sent(send)
        run: list[Run] = []
        try:
            with call.bodies.share() as share:
                body = await self._read(call, share)
                await _until_gone(receive, self._answer(call, body, scope, sent, run))
        except Exception as error:
            await self._fail(error, scope, receive, sent)
        finally:
            call.metrics.answered(self.path, sent.status)
            log_request(call, self.path, sent.status, run[0] if run else None)

    async def _answer(
        self, call: Call, body: Shape | None, scope: Scope, send: _Sent, runs: list[Run]
    ) -> None:
        job = await self.handle(call, body)
        if isinstance(job, Response):
            await job(scope, call.request.receive, send)
            return
        async with call.service.run(job.asks, job.client, job.keep_s) as run:
            runs.append(run)
            try:
                async with aclosing(aiter(run)) as pieces:
                    if job.stream:
                        await _send_pieces(run, pieces, job.reply, self.dialect, send)
                    else:
                        await _send_whole(run, pieces, job.reply, send)
            finally:
                await run.end()
                call.metrics.ran(run, call.arrival_s)

    async def _read(self, call: Call, share: Share) -> Shape | None:
        body = await share.read(call.request)
        if self.request is None:
            return None
        if call.settings.log_text:
            call.text = body.decode("utf-8", "replace")
        name = call.settings.name
        if len(body) < _LARGE_BYTES:
            return shaped(self.request, body, name)
        return await asyncio.to_thread(shaped, self.request, body, name)

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, send: _Sent) -> None:
        """Say what is wrong in the dialect; a bug goes on to the log."""
        if isinstance(error, ClientDisconnect):
            send.status = 499
            return
        status, message, headers = response_to(error)
        if is_for_the_log(error):
            logger.error("%s", error)
        if not send.status:
            content = self.dialect.error_json(error, status, message)
            await JSONResponse(content, status, headers)(scope, receive, send)
        if status == 500:
            raise error


class _Sent:
    """Sends, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _call(scope: Scope, receive: Receive) -> Call:
    state = scope["app"].state
    request = Request(scope, receive)
    return Call(state.service, state.service.settings, state.metrics, state.bodies, request)


async def _until_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, but end it as soon as the client has closed the connection."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        await task
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _gone(receive: Receive) -> None:
    """Return when the client is gone, whose request was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(run: Run, pieces: AsyncGenerator[Piece], reply: Reply, send: _Sent) -> None:
    async for _ in pieces:
        pass
    content = dumps(reply.whole(run))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_pieces(
    run: Run, pieces: AsyncGenerator[Piece], reply: Reply, dialect: Dialect, send: _Sent
) -> None:
    headers = [
        (b"content-type", reply.media_type.encode()),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def put(contents: Iterable[Json]) -> None:
        for content in contents:
            frame = reply.frame(content)
            await send({"type": "http.response.body", "body": frame, "more_body": True})

    try:
        await put(reply.begin(run))
        async for piece in pieces:
            await put(reply.piece(run, piece))
        await put(reply.end(run))
        await send({"type": "http.response.body", "body": reply.closing(), "more_body": True})
    except Exception as error:
        # The status is sent: a stream tells in its last message that it was cut short, and lacks
        # what closes whole ones.
        status, message, _ = response_to(error)
        await put(reply.failed(dialect.error_json(error, status, message)))
        raise
    finally:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
