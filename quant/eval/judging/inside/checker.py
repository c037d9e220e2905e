"""The checker: runs a problem's published test against a program in another process.

The verdict is this process's alone. The program's functions are called through a pipe, and what
comes back is built anew from plain values, so nothing the program prints, patches, returns or
exits with can stand for a passed test.
"""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .confine import limit, take_over
from .plain import NotPlainError, decode, encode, receive, send

# A test's `map(candidate, cases)` would take these for the end of the cases.
_ENDS_A_LOOP = (StopIteration, StopAsyncIteration)


class ProgramGoneError(Exception):
    """The program ended, or replied with what is no reply."""


class Program:
    """The program at the other end. Once it has failed to reply, it has failed for good."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self._requests, self._replies = requests, replies
        self.broken = ""  # why; a test that catches everything must not hide it

    def function(self, name: str) -> Callable[..., Any]:
        """Return what calls the program's function of that name."""

        def proxy(*args: Any, **named: Any) -> Any:
            return self.ask({"call": name, "args": encode(list(args)), "named": encode(named)})

        return proxy

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the value of the reply, or raise what the program raised.

        Raises:
            ProgramGoneError: when there is no such reply.

        """
        if self.broken:
            raise ProgramGoneError(self.broken)
        try:
            send(self._requests, request)
            reply = receive(self._replies)
            if "raised" not in reply:
                return decode(reply["value"])
            raised = _builtin_error(reply)
        except (EOFError, BrokenPipeError):
            self.broken = "the program ended"
        except (NotPlainError, KeyError, RecursionError, MemoryError) as error:
            self.broken = f"not a reply: {error!r:.120}"
        else:
            raise raised
        raise ProgramGoneError(self.broken)


def _builtin_error(reply: dict[str, Any]) -> Exception:
    """Return an exception of the builtin type that is named, or a plain one."""
    kind = vars(builtins).get(str(reply["raised"]))
    message = str(reply.get("message", ""))[:200]
    if isinstance(kind, type) and issubclass(kind, Exception) and kind not in _ENDS_A_LOOP:
        try:
            return kind(message)
        except TypeError:  # some, like UnicodeDecodeError, take more than a message
            return Exception(message)
    return Exception(f"{str(reply['raised'])[:40]}: {message}")


def main(job: str) -> None:
    """Check as the file `job` says; speak to the program on stdout and stdin, judge on stderr."""
    work = json.loads(Path(job).read_text(encoding="utf-8"))
    to_read, *to_write = take_over(0, 1, 2)
    requests, verdict = (os.fdopen(stream, "wb") for stream in to_write)
    replies = os.fdopen(to_read, "rb")
    limit(work["limits"])
    program = Program(requests, replies)
    detail = _failure(program, work)
    send(verdict, {"passed": not (detail or program.broken), "detail": program.broken or detail})


def _failure(program: Program, work: dict[str, Any]) -> str:
    """Return why the test failed; empty when it passed."""
    names: dict[str, Any] = {"__name__": "test"}
    try:
        program.ask({})  # did the program run at all?
        exec(compile(work["published"], "published", "exec"), names)
        for name in work["names"]:
            names[name] = program.function(name)
        exec(compile(work["test"], "test", "exec"), names)
        names["check"](names[work["entry_point"]])
    except BaseException as error:  # whatever a test raises, it has not passed
        return f"{error!r:.300}"
    return ""
