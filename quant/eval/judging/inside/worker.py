"""The worker: runs a program nobody vouches for, and calls its functions when asked.

It shares this process with the program, so it is believed in nothing but the plain values that
it sends: they are what the program's functions returned, or as good as that.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

from .confine import limit, take_over
from .plain import decode, encode, receive, send

NAME = "program"


def main(job: str) -> None:
    """Run the program in the file `job`; take requests on stdin, reply on stdout."""
    work = json.loads(Path(job).read_text(encoding="utf-8"))
    to_read, to_write = take_over(0, 1)
    requests, replies = os.fdopen(to_read, "rb"), os.fdopen(to_write, "wb")
    limit(work["limits"])
    program = types.ModuleType(NAME)
    sys.modules[NAME] = program  # dataclasses look their own module up
    failure = _attempt(lambda: exec(compile(work["program"], NAME, "exec"), vars(program)))
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        send(replies, failure if "raised" in failure else _answer(program, request))


def _answer(program: types.ModuleType, request: dict[str, Any]) -> dict[str, Any]:
    """Call what is asked for; a request for nothing is answered with None."""
    name = request.get("call")
    if name is None:
        return {"value": None}
    return _attempt(
        lambda: getattr(program, name)(*decode(request["args"]), **decode(request["named"]))
    )


def _attempt(action: Any) -> dict[str, Any]:
    """Return the action's value, or the name and the message of what it raised."""
    try:
        return {"value": encode(action())}
    except BaseException as error:
        # A program may raise anything at all, SystemExit and types of its own included.
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        return {"raised": kinds[0] if kinds else "Exception", "message": str(error)[:200]}
