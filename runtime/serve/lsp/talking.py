"""A conversation with one editor: message after message, through pipes or a connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading

from ...errors import ProtocolError
from ..process.messages import Reader, read_message
from .protocol import EdgeProtocol

logger = logging.getLogger("refact_edge.lsp")

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def converse(reader: Reader, protocol: EdgeProtocol, stop: threading.Event) -> None:
    """Take messages until the editor leaves, or it is time to stop.

    Raises:
        ProtocolError: when what comes is no message.

    """
    while not stop.is_set() and (message := await read_message(reader)) is not None:
        protocol.receive(message)


async def converse_with_first(
    listener: socket.socket, protocol: EdgeProtocol, stop: threading.Event
) -> None:
    """Converse with the first who connects and sends a message; who sends anything else is none.

    A web page can have its browser connect to any port, but not without an HTTP request.
    """
    (reader, writer), message = await _first(listener)
    protocol.set_writer(writer)
    protocol.receive(message)
    with contextlib.suppress(ConnectionError):  # an editor may just leave
        await converse(reader, protocol, stop)


async def _first(listener: socket.socket) -> tuple[_Streams, bytes]:
    """Wait for the first message on any connection; close the others, and listen no more."""
    first: asyncio.Future[tuple[_Streams, bytes]] = asyncio.get_running_loop().create_future()
    others: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        others.add(writer)
        try:
            message = await read_message(reader)
        except (ProtocolError, ConnectionError) as error:
            logger.warning("a connection was closed, and the editor is still waited for: %s", error)
            message = None
        others.discard(writer)
        if message is None or first.done():
            writer.close()
        else:
            first.set_result(((reader, writer), message))

    waiting = await asyncio.start_server(connected, sock=listener)
    conversation = await first
    waiting.close()
    for writer in others:
        writer.close()
    return conversation
