"""The format of traces, and the three that ship."""

import ast
import json
import re
from pathlib import Path

import pytest

from bench.traces import TYPED, traces
from refact_edge.runtime.bench.traces import (
    Ask,
    Event,
    Trace,
    asks,
    read_trace,
    shipped_traces,
    states,
    write_trace,
)
from refact_edge.runtime.errors import EvalError

HEADER = {"trace": 1, "name": "small", "file": "a.py", "text": "é = 1\n"}
EVENT = {"ms": 5, "at": 0, "delete": 0, "insert": "x", "ask": True}


def _write(folder: Path, *lines: object) -> Path:
    file = folder / "small.jsonl"
    rows = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def test_asks_are_the_texts_around_the_cursor_behind_each_insertion(tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        HEADER,
        {"ms": 9, "at": 5, "delete": 0, "insert": "2", "ask": True},
        {"ms": 9, "at": 1, "delete": 0, "insert": ""},
        {"ms": 9, "at": 0, "delete": 1, "insert": "xy", "ask": True},
    )
    assert list(asks(read_trace(file))) == [Ask("é = 12", "\n"), Ask("xy", " = 12\n")]


def test_a_written_trace_is_read_back_the_same(tmp_path: Path) -> None:
    trace = Trace("n", "f.py", "a\n", (Event(1, 2, 0, "é\n", True), Event(3, 0, 1, "")))
    write_trace(tmp_path / "t.jsonl", trace)
    assert read_trace(tmp_path / "t.jsonl") == trace


MALFORMED = [
    (["nonsense"], "line 1: not JSON"),
    ([[1]], "line 1: not a JSON object"),
    ([{**HEADER, "trace": 2}], 'line 1: "trace" is 2; expected 1'),
    ([EVENT], 'line 1: "trace" is None; expected 1'),
    ([{**HEADER, "text": None}], 'line 1: "text" is None; expected text'),
    ([HEADER, EVENT, {**EVENT, "at": 8}], "line 3: at 8, delete 0 is outside the text of 7"),
    ([HEADER, {**EVENT, "at": 5, "delete": 2}], "line 2: at 5, delete 2 is outside the text of 6"),
    ([HEADER, {**EVENT, "delete": -1}], 'line 2: "delete" is -1; expected a whole number'),
    ([HEADER, {**EVENT, "ms": True}], 'line 2: "ms" is True; expected a whole number'),
    ([HEADER, "", {**EVENT, "insert": 3}], 'line 3: "insert" is 3'),
    ([HEADER, {**EVENT, "asks": True}], "line 2: unknown 'asks'"),
    ([HEADER, {**EVENT, "ask": False}], "never asks for a completion"),
    ([""], "never asks for a completion"),
]


@pytest.mark.parametrize(("lines", "complaint"), MALFORMED)
def test_a_malformed_trace_is_one_line_with_file_and_number(
    lines: list[object], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(EvalError, match=re.escape(complaint)) as raised:
        read_trace(_write(tmp_path, *lines))
    assert str(raised.value).startswith(str(tmp_path / "small.jsonl"))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_absent_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match="cannot be read: No such file"):
        read_trace(tmp_path / "absent.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(EvalError, match="binary is not UTF-8"):
        read_trace(tmp_path / "binary")


def test_the_shipped_traces_are_what_the_script_makes(tmp_path: Path) -> None:
    made = traces()
    assert [path.stem for path in shipped_traces()] == [trace.name for trace in made]
    for path, trace in zip(shipped_traces(), made, strict=True):
        write_trace(tmp_path / path.name, trace)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", shipped_traces(), ids=lambda path: path.stem)
def test_a_shipped_trace_asks_often_and_ends_with_the_real_file(path: Path) -> None:
    trace = read_trace(path)
    assert 40 <= len(list(asks(trace))) <= 85
    *_, (_, final, _) = states(trace)
    assert final == (TYPED / f"{trace.file}.txt").read_text(encoding="utf-8")
    ast.parse(final)


def test_the_traces_differ_in_where_they_edit() -> None:
    function, jumps, middle = map(read_trace, shipped_traces())
    for trace in (function, middle):  # both take typed characters back
        backspaces = [event for event in trace.events if (event.delete, event.insert) == (1, "")]
        assert len(backspaces) >= 10
    # One place, with the rest of the file behind it; several; and back and forth all over it.
    assert len(_moves(function)) == 1
    assert [at > len(function.text) // 2 for at in _moves(function)] == [True]
    assert _moves(middle) == sorted(_moves(middle))
    lengths = [b - a for a, b in zip(_moves(jumps), _moves(jumps)[1:], strict=False)]
    assert len(lengths) == 10
    assert sum(abs(length) > 1000 for length in lengths) >= 7
    assert min(lengths) < 0 < max(lengths)


def _moves(trace: Trace) -> list[int]:
    return [event.at for event in trace.events if (event.delete, event.insert) == (0, "")]
