"""A file of results: settings in the first line, then one JSON object a line, appended.

A run that was cut off goes on where it ended. What was written for other settings is never mixed
in, and a last line that a kill left unfinished is taken off and done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.errors import EvalError
from ...runtime.files.atomic_write import atomic_write

FORMAT = "refact_edge_eval"
VERSION = 1
SAMPLES, HOLES = "samples", "holes"  # kinds of records, as the settings say

Record = dict[str, Any]


@dataclass
class Results:
    """Settings and records so far. Without a file they are kept in memory alone."""

    settings: Mapping[str, Any]
    records: list[Record] = field(default_factory=list)
    path: Path | None = None

    def append(self, record: Record) -> None:
        """Add a record, whole on the disk before this returns.

        Raises:
            EvalError: when the file cannot be written.

        """
        self.records.append(record)
        if self.path is not None:
            _write(self.path, record)


def open_results(path: Path | None, settings: Mapping[str, Any]) -> Results:
    """Go on with the results in `path`, or begin them.

    Raises:
        EvalError: when the file is of other settings, damaged, or cannot be read or written.

    """
    if path is None:
        return Results(settings)
    header = {FORMAT: VERSION, "settings": dict(settings)}
    if _is_unwritten(path, header):
        _write(path, header, mode="wb")
        return Results(settings, path=path)
    results = read_results(path)
    if results.settings != settings:
        raise EvalError(
            f"{path} holds {_differences(results.settings, settings)}; name another --out"
        )
    _drop_unfinished_line(path)
    return Results(settings, results.records, path)


def read_results(path: Path) -> Results:
    """Read a file of results, without an unfinished last line.

    Raises:
        EvalError: when it cannot be read or is not a file of results.

    """
    with _explained(path):
        lines = path.read_bytes().split(b"\n")[:-1]
    contents = []
    for number, line in enumerate(lines, 1):
        try:
            contents.append(json.loads(line))
        except ValueError as error:
            what = "is damaged" if contents else "is no line of results"
            raise EvalError(f"{path}, line {number} {what}: {error}; name another file") from error
    if not contents or not isinstance(contents[0], dict) or FORMAT not in contents[0]:
        raise EvalError(f"{path} is not a file of results; expected one that --out has written")
    header, *records = contents
    if header[FORMAT] != VERSION:
        raise EvalError(
            f"{path} is of version {header[FORMAT]}, this one reads {VERSION}; run it again"
        )
    return Results(header["settings"], records, path)


def write_results(path: Path, results: Results) -> None:
    """Write a whole file of results, beside `path` first.

    Raises:
        EvalError: when it cannot be written.

    """
    lines = [{FORMAT: VERSION, "settings": dict(results.settings)}, *results.records]
    with _explained(path), atomic_write(path) as beside:
        beside.write_bytes(b"".join(map(_line, lines)))


def _is_unwritten(path: Path, header: Record) -> bool:
    """Whether there is no file, or none but a first line that a kill cut off."""
    with _explained(path):
        return not path.exists() or _line(header).startswith(path.read_bytes())


def _drop_unfinished_line(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with _explained(path), path.open("r+b") as file:
            file.truncate(whole)


def _write(path: Path, record: Record, mode: str = "ab") -> None:
    with _explained(path), path.open(mode) as file:
        file.write(_line(record))


def _line(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    parts = [f"{name} {_brief(old.get(name))} (now {_brief(new.get(name))})" for name in names]
    return "results of " + ", ".join(parts)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "..."


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvalError(f"{path}: {error.strerror}; name another file") from error
