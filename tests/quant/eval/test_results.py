"""Files of results: gone on with after a kill, refused for other settings."""

import json
from pathlib import Path

import pytest

from refact_edge.quant.eval.results import Results, open_results, read_results
from refact_edge.runtime.errors import EvalError

SETTINGS = {"kind": "samples", "benchmark": "HumanEval", "temperature": 0.2}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    results = open_results(path, SETTINGS)
    results.append({"task_id": "é", "sample": 0})
    results.append({"task_id": "b", "sample": 0, "completion": "a\nb\u2028\ud800"})
    return path


def test_each_record_is_a_line_behind_the_settings(written: Path) -> None:
    lines = [json.loads(line) for line in written.read_bytes().splitlines()]
    assert lines[0] == {"refact_edge_eval": 1, "settings": SETTINGS}
    assert [line["task_id"] for line in lines[1:]] == ["é", "b"]
    assert lines[2]["completion"] == "a\nb\u2028?"


def test_the_same_run_goes_on_where_it_ended(written: Path) -> None:
    results = open_results(written, SETTINGS)
    assert [record["task_id"] for record in results.records] == ["é", "b"]
    results.append({"task_id": "c", "sample": 0})
    assert len(read_results(written).records) == 3


@pytest.mark.parametrize("keep", [1, 7, 20])
def test_a_last_line_that_a_kill_cut_off_is_done_again(keep: int, written: Path) -> None:
    data = written.read_bytes()
    start = data.rstrip(b"\n").rfind(b"\n") + 1
    written.write_bytes(data[: start + keep])
    results = open_results(written, SETTINGS)
    assert [record["task_id"] for record in results.records] == ["é"]
    results.append({"task_id": "b", "sample": 0})
    assert [record["task_id"] for record in read_results(written).records] == ["é", "b"]


def test_a_run_killed_in_its_very_first_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"refact_edge_ev')
    assert open_results(path, SETTINGS).records == []
    assert read_results(path).settings == SETTINGS


def test_other_settings_are_refused_with_what_differs(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(EvalError, match=r"temperature 0\.2 \(now 0\.8\); name another --out"):
        open_results(written, {**SETTINGS, "temperature": 0.8})
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"x = 1\ny = 2\n", "line 1 is no line of results"),
        (b"{}\n", "is not a file of results; expected one that --out has written"),
        (b"[]\n", "is not a file of results"),
        (b'{"refact_edge_eval": 9, "settings": {}}\n', "is of version 9, this one reads 1"),
        (b'{"refact_edge_eval": 1, "settings": {}}\n{"a\n{}\n', "line 2 is damaged"),
        (b"a source file without a line end", "is not a file of results"),
    ],
)
def test_any_other_file_is_refused_and_left_alone(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(EvalError, match=complaint):
        open_results(path, SETTINGS)
    assert path.read_bytes() == content


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match=r"none\.jsonl: No such file or directory"):
        read_results(tmp_path / "none.jsonl")
    with pytest.raises(EvalError, match="No such file or directory; name another"):
        open_results(tmp_path / "no" / "a.jsonl", SETTINGS)
    with pytest.raises(EvalError, match="Is a directory"):
        open_results(tmp_path, SETTINGS)


def test_without_a_file_records_are_kept_in_memory() -> None:
    results = open_results(None, SETTINGS)
    results.append({"task_id": "a"})
    assert results == Results(SETTINGS, [{"task_id": "a"}], None)
