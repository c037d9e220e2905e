"""Where the log goes: lines on standard error, which hold up nobody."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ...errors import printable

logger = logging.getLogger("refact_edge.serve")


_LINES = 10_000  # that wait for a reader; those that come then are lost
_LAST_LINES_S = 1.0  # for a reader to take them, as the server ends


class JsonFormatter(logging.Formatter):
    """Writes a record as an object: time, level, what happened, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return _escaped(json.dumps(fields, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    """Writes a record as lines that a terminal shows as they are."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines."""
        return printable(super().format(record))


def _escaped(content: str) -> str:
    """Return JSON that is the same to a program, and steers no terminal that shows it."""
    if content.isprintable():
        return content
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in content)


class LineHandler(logging.Handler):
    """Writes lines in a thread of its own: who does not read them, or is gone, holds up nobody."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to a stream; to None nothing is written."""
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(self.format(record))

    def close(self) -> None:
        """Wait a moment until all is written."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
            self._thread.join(_LAST_LINES_S)
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._stream is not None:
                with contextlib.suppress(OSError, ValueError):  # of a stream that is closed
                    self._stream.write(line + "\n")
                    self._stream.flush()


@contextmanager
def logging_to_stderr(*, quiet: bool) -> Iterator[None]:
    """Write the server's log, uvicorn's and asyncio's to standard error, where there is one."""
    handler = LineHandler(_own_stderr())
    handler.setFormatter(JsonFormatter())
    levels = {
        logger.name: logging.WARNING if quiet else logging.INFO,
        "uvicorn.error": logging.WARNING,
        "asyncio": logging.ERROR,  # it warns of clients that are gone
    }
    for name, level in levels.items():
        one = logging.getLogger(name)
        one.handlers, one.propagate = [handler], False
        one.setLevel(level)
    try:
        yield
    finally:
        handler.close()


def _own_stderr() -> TextIO | None:
    """Return a stream to standard error with a lock of its own.

    A thread that waits in `sys.stderr` for a reader would have Python abort at exit.
    """
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, or it is not a file
        return sys.stderr
    return open(descriptor, "w", encoding="utf-8", errors="replace", newline="\n", closefd=False)
