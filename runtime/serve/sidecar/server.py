"""A conversation with the host: requests in, answers and pieces out, in any order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any, NoReturn

from pydantic import ValidationError

from .... import __version__
from ...errors import RefactEdgeError, one_line
from ..web.mistakes import what_is_wrong
from . import schema
from .framing import Pipes
from .methods import Methods
from .schema import METHODS, PIECE, READY
from .shapes import PROTOCOL, Failure, Id, NoParams, PieceOf, Ready, RequestParams, Shape

logger = logging.getLogger("refact_edge.sidecar")

VERSION = "2.0"  # of JSON-RPC
_MOST_TASKS = 256  # requests and what they bring; beyond, nothing more is read until some end
Message = dict[str, Any]


class RequestError(Exception):
    """A message that is answered by an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Conversation:
    """All that one host asks."""

    def __init__(self, pipes: Pipes, methods: Methods) -> None:
        self._pipes, self._methods = pipes, methods
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_MOST_TASKS)
        self._open: set[Id] = set()  # requests that are not answered yet
        self.ended = False  # by shutdown

    async def run(self) -> None:
        """Talk until the host leaves or ends it.

        Raises:
            ProtocolError: when what comes is no message.

        """
        ready = Ready(protocol=PROTOCOL, version=__version__, pid=os.getpid())
        await self._notify(READY, ready)
        try:
            while not self.ended and (content := await self._pipes.read()) is not None:
                await self._take(content)
        finally:
            self._methods.service.end_all()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, content: bytes) -> None:
        try:
            message = _parsed(content)
        except RequestError as error:
            await self._refuse(None, error)
            return
        number = message.get("id")
        try:
            _check(message)
            if number is not None and number in self._open:
                raise RequestError(schema.INVALID, f"id {number!r:.40} is that of an open request")
        except RequestError as error:
            await self._refuse(number if _is_id(number) else None, error)
            return
        if message["method"] == "cancel":  # at once, whatever else there is to do
            await self._answer(message)
            return
        if number is not None:
            self._open.add(number)
        elif METHODS[message["method"]].result is not None:
            logger.warning("%s without an id, so nobody waits for it", message["method"])
            return
        await self._room.acquire()
        if message["method"] == "shutdown":
            self.ended = True
            self._methods.service.end_all()
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if task.cancelled() or (error := task.exception()) is None:
            return
        ends = isinstance(error, BrokenPipeError) or not isinstance(error, Exception)
        if not ends:  # nobody reads on, or it was told to end
            logger.error("%s", error, exc_info=error)

    async def _answer(self, message: Message) -> None:
        """Do what a message asks for, and answer it, if it is a request."""
        number = message.get("id")
        try:
            result = await self._call(message)
        except Exception as error:
            self._forget(number)
            if number is not None:
                await self._refuse(number, error)
            elif not isinstance(error, (RefactEdgeError, RequestError)):
                raise
            else:
                logger.warning("%s: %s", message["method"], error)
            return
        self._forget(number)
        if number is not None:
            dumped = result.model_dump(by_alias=True) if result is not None else None
            await self._send({"id": number, "result": dumped})

    def _forget(self, number: Id | None) -> None:
        """Let another request have this one's id."""
        if number is not None:
            self._open.discard(number)
            self._methods.answered(number)

    async def _call(self, message: Message) -> Shape | None:
        name, methods = message["method"], self._methods
        params: Any = _params(name, message.get("params", {}))
        number = message.get("id", "")

        async def on_piece(text: str) -> None:
            await self._notify(PIECE, PieceOf(id=number, text=text))

        if name == "initialize":
            return await methods.initialize(params)
        if name == "complete":
            return await methods.complete(params, number, on_piece)
        if name == "chat":
            return await methods.chat(params, number, on_piece)
        if name == "warm":
            return await methods.warm(params)
        if name == "stats":
            return methods.stats()
        if name == "cancel":
            self._cancel(params)
        elif name == "accept":
            methods.accept(params)
        return None

    def _cancel(self, params: RequestParams) -> None:
        if params.id in self._open:
            self._methods.cancel(params.id)

    async def _refuse(self, number: Any, error: Exception) -> None:
        if isinstance(error, RequestError):
            code, text, kind = error.code, str(error), "ProtocolError"
        elif isinstance(error, RefactEdgeError):
            code, text, kind = schema.code_of(error), str(error), type(error).__name__
        else:
            logger.error("%s", error, exc_info=error)
            code, text = schema.INTERNAL, "the sidecar has a bug; its standard error tells more"
            kind = type(error).__name__
        failure = Failure(kind=kind).model_dump(by_alias=True)
        await self._send({"id": number, "error": {"code": code, "message": text, "data": failure}})

    async def _notify(self, method: str, params: Shape) -> None:
        await self._send({"method": method, "params": params.model_dump(by_alias=True)})

    async def _send(self, fields: Message) -> None:
        text = json.dumps({"jsonrpc": VERSION, **fields}, ensure_ascii=False)
        # A lone half of a surrogate pair is no UTF-8.
        await self._pipes.write(text.encode("utf-8", "replace"))


def _parsed(content: bytes) -> Message:
    try:
        message = json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(schema.PARSE, f"not JSON: {one_line(error)}") from error
    if not isinstance(message, dict):
        raise RequestError(schema.INVALID, f"{message!r:.40}; expected one object")
    return message


def _check(message: Message) -> None:
    """Refuse what is no message of JSON-RPC 2.0, or asks for a method that there is not."""
    if message.get("jsonrpc") != VERSION:
        raise RequestError(
            schema.INVALID, f"jsonrpc {message.get('jsonrpc')!r:.40}; expected {VERSION!r}"
        )
    if "id" in message and not _is_id(message["id"]):
        raise RequestError(
            schema.INVALID, f"id {message['id']!r:.40}; expected a whole number or a text"
        )
    method = message.get("method")
    if not isinstance(method, str) or method not in METHODS:
        expected = ", ".join(METHODS)
        raise RequestError(
            schema.UNKNOWN, f"method {one_line(repr(method), 40)}; expected one of {expected}"
        )


def _params(name: str, params: object) -> Shape:
    if params is None or params == []:  # as some languages write an empty object
        params = {}
    kind = METHODS[name].params
    if kind is NoParams:
        return NoParams()
    content = json.dumps(params, ensure_ascii=False).encode("utf-8", "replace")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        wrong = what_is_wrong(error, content, "")
        raise RequestError(schema.PARAMS, f"{name}: {wrong}") from error


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which JSON does not have")
