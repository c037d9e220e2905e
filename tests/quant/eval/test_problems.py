"""Reading benchmarks: what is refused at the door, and what the checker is given."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from refact_edge.quant.eval.problems import Problem, read_benchmark
from refact_edge.runtime.errors import EvalError

PROBLEM = {
    "task_id": "Tiny/0",
    "prompt": "def helper():\n    return 1\n\n\ndef two():\n    return ",
    "canonical_solution": "helper() + helper()",
    "suffix": "\n\n\ndef after():\n    return 3\n",
    "test": "def check(candidate):\n    assert candidate() == helper() + 1\n",
    "entry_point": "two",
}
PLAIN = {name: value for name, value in PROBLEM.items() if name != "suffix"}


def _write(file: Path, *lines: Any) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_plain_and_compressed_files_say_the_same(tmp_path: Path) -> None:
    plain = _write(tmp_path / "a.jsonl", PROBLEM)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes() + b"\n  \n"))
    one, other = (read_benchmark(file, infilling=True) for file in (plain, packed))
    assert one.problems == other.problems == (Problem(**PROBLEM),)
    assert one.name == other.name == "a"


@pytest.mark.parametrize(
    ("content", "infilling", "complaint"),
    [
        (b"", False, "a.jsonl holds no problem; expected one JSON object a line"),
        (b"def f():\n", False, "line 1 is not JSON"),
        (b"[1]\n", False, "line 1 is not a JSON object"),
        (b"{}\n", False, "line 1 has no text as task_id, prompt, canonical_solution, test, entry"),
        (json.dumps(PROBLEM).encode(), False, "has a suffix, so it is for: .* eval infilling"),
        (
            json.dumps(PLAIN).encode(),
            True,
            r"no text as suffix \(plain HumanEval is for: ",
        ),
        (
            json.dumps(PLAIN).encode() * 1 + b"\n" + json.dumps(PLAIN).encode(),
            False,
            "repeats 1 task",
        ),
        (json.dumps({**PLAIN, "test": "def check("}).encode(), False, "the test is not Python"),
        (json.dumps({**PLAIN, "prompt": "  ("}).encode(), False, "the published program is not"),
        (b"\x1f\x8b broken", False, "a damaged gzip file"),
        (gzip.compress(b"{}" * 999, mtime=0)[:-12], False, "a damaged gzip file"),
    ],
)
def test_what_is_no_benchmark_is_refused_in_one_line(
    content: bytes, infilling: bool, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(EvalError, match=complaint) as refused:
        read_benchmark(tmp_path / "a.jsonl", infilling=infilling)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match="cannot be read: No such file"):
        read_benchmark(tmp_path / "none")
    with pytest.raises(EvalError, match="cannot be read: Is a directory"):
        read_benchmark(tmp_path)


def test_only_the_candidate_and_what_the_hole_lies_in_are_asked_of_the_program() -> None:
    assert Problem(**PROBLEM).task("pass").names == ("two",)
    moved = {
        **PROBLEM,
        "prompt": "def helper():\n    return ",
        "canonical_solution": "1",
        "suffix": "\n\n\ndef two():\n    return helper() + 1\n",
    }
    assert Problem(**moved).task("pass").names == ("two", "helper")
