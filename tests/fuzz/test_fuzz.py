"""A share of the fuzzer's mutants, and what its parts promise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from . import report, results
from .kinds import KINDS, make, plan
from .runner import run
from .wire import Field, encode, inside, parse, put, text, varint

SEED, SHARE = 0, 80

if sys.platform != "linux":
    pytest.skip("jobs are watched through /proc and memfd: Linux only", allow_module_level=True)


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what became of a share of the mutants; `make fuzz` does far more."""
    folder = tmp_path_factory.mktemp("fuzz")
    return list(run(SEED, range(SHARE), folder, os.cpu_count() or 1, sanitize=False))


def test_hostile_files_are_opened_or_refused_in_one_line(share: list[dict[str, Any]]) -> None:
    assert len(share) == SHARE
    faults = report.faults(share)
    assert not faults, "\n".join(report.lines(share, SEED))


def test_a_good_share_of_mutants_is_opened(share: list[dict[str, Any]]) -> None:
    answered = sum(report.outcome(result) == "answered" for result in share)
    assert answered >= SHARE / 4


def test_a_number_is_the_same_mutant_each_time(tiny_bundle: Path, tmp_path: Path) -> None:
    originals = tiny_bundle.parent
    if not (originals / "bundle").exists():
        (originals / "bundle").symlink_to(tiny_bundle)
    numbers = [n for n in range(60) if plan(SEED, n)[0].kind.original == "bundle"][:12]
    for number in numbers:
        contents = []
        for name in ("a", "b"):
            folder = tmp_path / f"{number}{name}"
            folder.mkdir()
            change = make(*plan(SEED, number), originals, folder)
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            contents.append((change, [file.read_bytes() for file in files]))
        assert contents[0] == contents[1]


def test_every_kind_comes_and_seeds_differ() -> None:
    kinds = {plan(SEED, number)[0].kind.name for number in range(2000)}
    assert kinds == {kind.name for kind in KINDS}
    first, second = ([plan(seed, n)[0].kind.name for n in range(50)] for seed in (0, 1))
    assert first != second


def test_a_graph_is_put_together_as_it_was(tiny_bundle: Path) -> None:
    for file in (tiny_bundle / "onnx").glob("*.onnx"):
        data = file.read_bytes()
        model = parse(data)
        assert encode(model) == data
        assert "MatMul" in {text(node, 4)[:6] for node in inside(model, 7, 1)}


def test_padded_numbers_and_other_wire_types_are_written() -> None:
    assert varint(300) == b"\xac\x02"
    assert varint(1, padding=2) == b"\x81\x80\x00"
    assert varint(-1) == b"\xff" * 9 + b"\x01"
    message = [Field(4, 2, b"Add"), Field(4, 5, b"abcd")]
    assert encode(message) == b"\x22\x03Add\x25abcd"
    put(message, 4, 7)
    assert encode(message) == b"\x20\x07"


def _result(number: int, verdict: str, message: str, detail: str = "") -> dict[str, Any]:
    job = {"verdict": verdict, "message": message, "detail": detail}
    return {"number": number, "kind": "manifest", "change": "x is 1", "jobs": {"native": job}}


def test_a_run_goes_on_behind_a_line_that_was_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    list(results.appended(file, [_result(0, "answered", ""), _result(1, "refused", "no")]))
    file.write_text(file.read_text()[:-10])
    assert list(results.read(file)) == [0]
    list(results.appended(file, [_result(1, "refused", "no")]))
    assert list(results.read(file)) == [0, 1]


def test_the_same_fault_with_other_numbers_is_told_once() -> None:
    stack = 'File "/a/runtime/text/prompts.py", line 5, in fill\nKeyError: 4'
    every = [
        _result(3, "raised", "KeyError: 4", stack),
        _result(5, "raised", "KeyError: 99", stack),
        _result(6, "refused", "no layers"),
        _result(7, "answered", ""),
    ]
    (fault,) = report.faults(every)
    assert (fault.numbers, fault.place) == ([3, 5], "fill in runtime/text/prompts.py")
    lines = list(report.lines(every, 7))
    assert '  repeat: make fuzz ARGS="--seed 7 --only 3"' in lines
    assert any(line.split() == ["manifest", "4", "1", "1", "2", "25%"] for line in lines)
