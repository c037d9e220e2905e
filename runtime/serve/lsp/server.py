"""The language server's state: the documents that are open, settings, figures, the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from lsprotocol import types as lsp
from pygls.io_ import StdoutWriter
from pygls.lsp.server import LanguageServer

from .... import __version__
from ...errors import OptionError, printable
from ...model import Model
from ..process.ending import run_until_sigterm
from ..process.messages import Pipe
from ..service.service import Service
from ..service.settings import Settings
from ..service.statistics import Statistics
from .insertion import name_of
from .lines import count_as_the_protocol_does, joined
from .preferences import Preferences
from .protocol import EdgeProtocol
from .talking import converse, converse_with_first

logger = logging.getLogger("refact_edge.lsp")


class EdgeServer(LanguageServer):
    """Completes at the cursor of the documents that are open."""

    protocol: EdgeProtocol

    def __init__(self, open_model: Callable[[], Model], settings: Settings) -> None:
        """Open the model once an editor is there."""
        super().__init__("refact-edge", __version__, protocol_cls=EdgeProtocol)
        count_as_the_protocol_does()
        self.preferences = Preferences()
        self.statistics = Statistics()
        self._message = ""  # the last one that the user saw
        self.ended = False  # by an editor's shutdown
        self.first_settings: Any = None  # of the editor's first message
        self.opened: OrderedDict[str, None] = OrderedDict()  # documents, latest last
        self._make: Callable[[], Service] = lambda: Service(open_model, settings)
        self._service: Service | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def service(self) -> Service:
        """The service, made in the event loop that it belongs to."""
        if self._service is None:
            self._service = self._make()
        return self._service

    def prefer(self, settings: Any) -> None:
        """Take an editor's settings; show its user those that are wrong, and use the others."""
        try:
            self.preferences, problems = Preferences.from_json(settings)
        except OptionError as error:
            self.warn(f"{error}; nothing was changed")
        else:
            if problems:
                self.warn(f"refactEdge settings: {'; '.join(problems)}; ignored, all others apply")

    def warn(self, message: str) -> None:
        """Show the editor's user what is wrong with settings."""
        self.tell(message, lsp.MessageType.Warning)

    def tell(self, message: str, kind: lsp.MessageType = lsp.MessageType.Error) -> None:
        """Show the editor's user what is wrong, unless it was the last message."""
        if message == self._message:
            return
        self._message = message
        self.window_show_message(lsp.ShowMessageParams(type=kind, message=printable(message)))

    def later(self, work: Any) -> None:
        """Do something beside; what goes wrong with it is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s", error, exc_info=error)

    def used(self, uri: str) -> None:
        """Remember a document as the latest."""
        self.opened[uri] = None
        self.opened.move_to_end(uri)

    def others(self, uri: str) -> list[tuple[str, str]]:
        """Return name and text of other open documents, the latest first."""
        others = [other for other in reversed(self.opened) if other != uri]
        documents = map(self.workspace.get_text_document, others[: self.preferences.open_files])
        return [(name_of(document.uri), joined(document.source)) for document in documents]

    def end_all(self) -> None:
        """End what is computed, as an editor sent shutdown."""
        self.ended = True
        for task in list(self._tasks):
            task.cancel()
        if self._service is not None:
            self._service.end_all()

    def save_caches(self) -> None:
        """Save the caches, where the user named a folder for them."""
        if self._service is not None:
            self._service.save_caches()

    def shutdown(self) -> None:
        """Stop without waiting for the thread that reads standard input, which may never return."""
        if self._stop_event is not None:
            self._stop_event.set()
        if self._thread_pool is not None:
            self._thread_pool.shutdown(wait=False, cancel_futures=True)

    def run_io(self, begun: Callable[[], None]) -> None:
        """Talk to an editor through standard input and output; call `begun` when it is listened to.

        Raises:
            ProtocolError: when what comes there are no messages.

        """
        self._stop_event = stop = threading.Event()
        self.protocol.set_writer(StdoutWriter(sys.stdout.buffer))
        pipe = Pipe(sys.stdin.buffer, self.thread_pool)

        async def talk() -> None:
            begun()
            await converse(pipe, self.protocol, stop)

        try:
            run_until_sigterm(talk())
        except BrokenPipeError:
            logger.error("the editor reads no answers any more")
        except (KeyboardInterrupt, SystemExit):  # which is how it is meant to end
            pass
        finally:
            self.shutdown()

    def run_tcp(self, listener: socket.socket) -> None:
        """Talk to the first editor that connects to a socket, and to no other.

        Raises:
            ProtocolError: when what comes from it later are no messages.

        """
        self._stop_event = stop = threading.Event()
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            run_until_sigterm(converse_with_first(listener, self.protocol, stop))
