"""Editing traces: what was typed where, and when the editor asked for a completion.

A trace is a file of JSON lines. The first is a header: {"trace": 1, "name": "...", "file":
"parser.py", "text": "<the text at first>"}. Each other line is one event: {"ms": <since the event
before>, "at": <offset in characters>, "delete": <how many>, "insert": "..."}. From the offset on
characters are deleted, others are inserted in their place, and the cursor stands behind these. An
event with "ask": true is one after which the editor asks; pauses are already in the trace.

Knows no model, so that other engines can be measured by the same keystrokes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EvalError

FORMAT = 1


@dataclass(frozen=True)
class Event:
    """One edit: `delete` characters from offset `at` give way to `insert`, `ms` after the last."""

    ms: int
    at: int
    delete: int
    insert: str
    ask: bool = False


@dataclass(frozen=True)
class Trace:
    """A text and what was done to it."""

    name: str
    file: str  # name of the file that was edited
    text: str
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Ask:
    """The text around the cursor when a completion was asked for."""

    prefix: str
    suffix: str


def shipped_traces() -> list[Path]:
    """Return the traces that come with the package: a function, its middle, jumps."""
    return sorted((Path(__file__).parent / "traces").glob("*.jsonl"))


def states(trace: Trace) -> Iterator[tuple[Event, str, int]]:
    """Yield each event with the text after it and the cursor in that text."""
    text = trace.text
    for event in trace.events:
        text = text[: event.at] + event.insert + text[event.at + event.delete :]
        yield event, text, event.at + len(event.insert)


def asks(trace: Trace) -> Iterator[Ask]:
    """Yield what the editor asked, in order."""
    for event, text, cursor in states(trace):
        if event.ask:
            yield Ask(text[:cursor], text[cursor:])


def read_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        EvalError: when it cannot be read or is malformed, with the number of the line; or when it
            never asks.

    """
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except OSError as error:
        raise EvalError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvalError(f"{path} is not UTF-8; expected JSON lines") from error
    header: Trace | None = None
    events: list[Event] = []
    length = 0  # of the text so far
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if header is None:
                header = _header(_object(line))
                length = len(header.text)
            else:
                events.append(_event(_object(line), length))
                length += len(events[-1].insert) - events[-1].delete
        except (ValueError, RecursionError) as error:
            raise EvalError(f"{path}, line {number}: {error}") from error
    if header is None or not any(event.ask for event in events):
        raise EvalError(f'{path} never asks for a completion; expected events with "ask": true')
    return Trace(header.name, header.file, header.text, tuple(events))


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace as `read_trace` reads it; `ask` stands only where it is true."""
    header = {"trace": FORMAT, "name": trace.name, "file": trace.file, "text": trace.text}
    lines = [json.dumps(header)]
    for event in trace.events:
        lines.append(json.dumps(vars(event) if event.ask else _silent(event)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _silent(event: Event) -> dict[str, Any]:
    return {name: value for name, value in vars(event).items() if name != "ask"}


def _object(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def _header(content: dict[str, Any]) -> Trace:
    if content.get("trace") != FORMAT:
        version = content.get("trace")
        raise ValueError(f'"trace" is {version!r:.40}; expected {FORMAT} in the first line')
    texts = {name: content.get(name) for name in ("name", "file", "text")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f'"{name}" is {value!r:.40}; expected text')
    return Trace(str(texts["name"]), str(texts["file"]), str(texts["text"]), ())


def _event(content: dict[str, Any], length: int) -> Event:
    """Read one event upon a text of `length` characters."""
    if unknown := content.keys() - {"ms", "at", "delete", "insert", "ask"}:
        raise ValueError(f"unknown {', '.join(sorted(unknown))!r:.40}")
    ms, at, delete = (_whole(content, name) for name in ("ms", "at", "delete"))
    insert, ask = content.get("insert"), content.get("ask", False)
    if not isinstance(insert, str) or not isinstance(ask, bool):
        raise ValueError(f'"insert" is {insert!r:.40}, "ask" {ask!r:.40}; expected text, a boolean')
    if at + delete > length:
        raise ValueError(f"at {at}, delete {delete} is outside the text of {length} characters")
    return Event(ms, at, delete, insert, ask)


def _whole(content: dict[str, Any], name: str) -> int:
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f'"{name}" is {value!r:.40}; expected a whole number from 0 on')
    return value
