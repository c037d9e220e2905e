"""A request's body: how large it may be, how large all may be together, how slowly it may come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from .errors import RETRY_AFTER_S, HttpError

AT_ONCE = 4  # as many of the largest size may be in memory
SMALL_BYTES = 2**16  # so much of each counts for nothing: no small request is refused for others
PROGRESS_BYTES = 2**10  # a client that sends as much in time may go on


class Bodies:
    """Bounds the bytes of all bodies that are in memory, from their first byte to the answer."""

    def __init__(self, limit_bytes: int, receive_s: float) -> None:
        """Hold bodies of up to `limit_bytes` each, that come on within `receive_s`."""
        self.limit_bytes, self.receive_s = limit_bytes, receive_s
        self.used_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Yield the share of one request, which ends with it."""
        share = Share(self)
        try:
            yield share
        finally:
            share.set(0)


class Share:
    """What one request has of the memory for bodies."""

    def __init__(self, bodies: Bodies) -> None:
        """Have nothing of it yet."""
        self._bodies, self._bytes = bodies, 0

    def set(self, size_bytes: int) -> None:
        """Take as much as a body of that size needs.

        Raises:
            HttpError: when others have it.

        """
        more = max(0, size_bytes - SMALL_BYTES) - self._bytes
        if more > 0 and self._bodies.used_bytes + more > AT_ONCE * self._bodies.limit_bytes:
            raise HttpError(
                503,
                "large requests fill the memory that there is for them; try again in a moment",
                {"retry-after": str(RETRY_AFTER_S)},
            )
        self._bytes += more
        self._bodies.used_bytes += more

    async def read(self, request: Request) -> bytearray:
        """Return the body of a request.

        Raises:
            HttpError: when it is larger than the limit, comes too slowly, or others fill memory.

        """
        limit_bytes, receive_s = self._bodies.limit_bytes, self._bodies.receive_s
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > limit_bytes:
            raise _too_large(limit_bytes)
        body, chunks, clock = bytearray(), aiter(request.stream()), asyncio.get_running_loop().time
        due_s, due_bytes = clock() + receive_s, PROGRESS_BYTES
        while True:
            try:
                async with asyncio.timeout_at(due_s):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise _too_slow(receive_s) from error
            if chunk is None:
                return body
            if len(body) + len(chunk) > limit_bytes:
                raise _too_large(limit_bytes)
            self.set(len(body) + len(chunk))
            body += chunk
            if len(body) >= due_bytes:
                due_s, due_bytes = clock() + receive_s, len(body) + PROGRESS_BYTES


def _too_large(limit_bytes: int) -> HttpError:
    message = f"the request is larger than {limit_bytes} bytes; send less text"
    return HttpError(413, message, {"connection": "close"})


def _too_slow(receive_s: float) -> HttpError:
    message = f"less than {PROGRESS_BYTES} bytes of the request's body came in {receive_s:g} s"
    return HttpError(408, f"{message}; send it again", {"connection": "close"})
