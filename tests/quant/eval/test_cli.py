"""`refact-edge eval` as its user meets it, with the demo's bundle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from refact_edge.quant.eval.judging.sandbox import Sandbox
from refact_edge.runtime.errors import SandboxError

Done = subprocess.CompletedProcess[str]
COMMAND = [sys.executable, "-m", "refact_edge.runtime", "eval"]

PROMPT = 'def add(a, b):\n    """Return the sum."""\n'
TEST = "def check(candidate):\n    assert candidate(2, 3) == 5\n"
PROBLEMS = [
    {
        "task_id": f"SingleLineInfilling/{i}",
        "prompt": PROMPT,
        "canonical_solution": "    return a + b\n",
        "suffix": "\n",
        "test": TEST,
        "entry_point": "add",
    }
    for i in range(4)
]


@pytest.fixture(scope="module")
def _sandboxed() -> None:
    try:
        Sandbox(10)
    except SandboxError as error:
        pytest.skip(str(error))


sandboxed = pytest.mark.usefixtures("_sandboxed")


@pytest.fixture
def humaneval(tmp_path: Path) -> Path:
    lines = [{name: p[name] for name in p if name != "suffix"} for p in PROBLEMS]
    return _write(tmp_path / "HumanEval.jsonl", lines)


@pytest.fixture
def infilling(tmp_path: Path) -> Path:
    return _write(tmp_path / "Infilling.jsonl", PROBLEMS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("a", "b", "c"):
        text = "".join(
            f"def {name}_{i}(x):\n    y = x + {i}\n    return y * 2\n\n\n" for i in range(20)
        )
        (folder / f"{name}.py").write_text(text)
    return folder


def _write(file: Path, lines: list[dict[str, str]]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def _run(*arguments: object, **environment: str) -> Done:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def _last(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@sandboxed
def test_canonical_and_empty_need_no_bundle(humaneval: Path, infilling: Path) -> None:
    for command, file in (("humaneval", humaneval), ("infilling", infilling)):
        right = _last(_run(command, file, "--canonical", "--json"))
        assert right["runs"]["canonical"]["figures"]["pass_at"]["1"]["percent"] == 100
        nothing = _run(command, file, "--empty")
        assert ", empty: 4 problems, 1 sample each\n  4 failed\n" in nothing.stdout


@sandboxed
def test_a_run_prints_its_settings_outcomes_and_pass_at_k(
    humaneval: Path, demo_bundle: Path
) -> None:
    done = _run("humaneval", humaneval, "--bundle", demo_bundle, "--limit", 2, "--n", 10)
    assert done.returncode == 0, done.stderr
    first, outcomes, *figures = done.stdout.splitlines()
    assert first == "HumanEval, int4: 2 problems, 10 samples each, ltr, temperature 0.01"
    assert "failed" in outcomes
    assert [line.split()[0] for line in figures] == ["pass@1", "pass@10"]
    assert "published" not in done.stdout  # neither all problems nor the preset's n
    assert done.stderr == "int4 ...\n"


@sandboxed
def test_some_problems_are_drawn_by_the_seed_and_stay_in_their_order(
    infilling: Path, demo_bundle: Path, tmp_path: Path
) -> None:
    drawn: list[list[str]] = []
    for seed in (0, 0, 3):
        out = tmp_path / f"{len(drawn)}.jsonl"
        _run("infilling", infilling, "--bundle", demo_bundle, "--sample", 2, "--seed", seed,
             "--empty", "--out", out)  # fmt: skip
        drawn.append([json.loads(line)["task_id"] for line in out.read_text().splitlines()[1:]])
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    wrong = _run("infilling", infilling, "--bundle", demo_bundle, "--sample", 2, "--limit", 2)
    assert wrong.returncode == 1
    assert "limit and sample; expected one of the two" in wrong.stderr


@sandboxed
def test_json_is_the_last_line_and_holds_everything(infilling: Path, demo_bundle: Path) -> None:
    done = _run(
        "infilling", infilling, "--bundle", demo_bundle, "--limit", 2, "--compare", "int4", "fp32",
        "--json",
    )  # fmt: skip
    told = _last(done)
    assert told["runs"].keys() == {"int4", "fp32"}
    assert told["runs"]["fp32"]["settings"]["form"] == "spm"
    pairs = told["comparison"]
    assert (pairs["a"], pairs["b"]) == ("int4", "fp32")
    assert pairs["both"] + pairs["only_a"] + pairs["only_b"] + pairs["neither"] == 2
    assert "McNemar p = " in done.stdout


@sandboxed
def test_a_run_goes_on_from_its_file_and_refuses_anothers(
    humaneval: Path, demo_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    # fp32: the others round activations, so a token more or less in the cache may change a draw.
    model = ("--bundle", demo_bundle, "--variant", "fp32")
    common = ("humaneval", humaneval, *model, "--out", out, "--temperature", "0.9")
    whole = _last(_run(*common, "--n", 2, "--json"))
    lines = out.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 8
    out.write_bytes(b"".join(lines[:4]) + lines[4][:20])  # as a kill leaves it
    again = _run(*common, "--n", 2, "--json")
    assert "out.jsonl: 3 found there, 5 to do" in again.stderr
    assert _last(again) == whole
    assert sorted(out.read_bytes().splitlines(keepends=True)) == sorted(lines)
    other = _run(*common, "--seed", 7)
    assert (other.returncode, other.stdout) == (1, "")
    assert "holds results of seed 0 (now 7); name another --out" in other.stderr


@sandboxed
def test_parts_merge_into_what_one_run_writes(
    humaneval: Path, demo_bundle: Path, tmp_path: Path
) -> None:
    common = ["humaneval", humaneval, "--bundle", demo_bundle, "--n", 2, "--temperature", 0.9]
    whole, *parts = (tmp_path / f"{name}.jsonl" for name in ("whole", "first", "second"))
    _run(*common, "--out", whole)
    for number, part in enumerate(parts, 1):
        assert _run(*common, "--part", f"{number}/2", "--out", part).returncode == 0
    done = _run("merge", *reversed(parts), "--out", tmp_path / "merged.jsonl")
    assert done.returncode == 0, done.stderr
    assert "HumanEval, int4: 4 problems, 2 samples each" in done.stdout
    assert (tmp_path / "merged.jsonl").read_bytes() == whole.read_bytes()
    again = _run("merge", *parts, "--out", tmp_path / "merged.jsonl")
    assert (again.returncode, again.stdout) == (1, "")
    assert "merged.jsonl exists; name another file" in again.stderr
    one = _run("merge", parts[0], "--out", tmp_path / "one.jsonl")
    assert "1 of 2 parts are missing: 2/2" in one.stderr


@sandboxed
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(
    humaneval: Path, demo_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    options = ["--bundle", str(demo_bundle), "--n", "500", "--temperature", "1", "--out", str(out)]
    command = [*COMMAND, "humaneval", str(humaneval), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while (not out.exists() or out.read_bytes().count(b"\n") < 4) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert told == ""
    assert f"of 2000 done, saved in {out}; the same command goes on from there" in complaint
    assert complaint.endswith("interrupted\n")
    assert "Traceback" not in complaint
    assert out.read_bytes().endswith(b"}\n")


def test_without_bubblewrap_it_refuses_unless_told_otherwise(
    humaneval: Path, tmp_path: Path
) -> None:
    refused = _run("humaneval", humaneval, "--canonical", PATH=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: generated code is run under bubblewrap, which is missing;")
    assert "apt install bubblewrap" in line
    unsafe = _run("humaneval", humaneval, "--canonical", "--unsafe", PATH=str(tmp_path))
    assert unsafe.returncode == 0
    assert unsafe.stderr.startswith("warning: --unsafe: generated code runs as you, only bounded")
    assert "pass@1   100.0 %" in unsafe.stdout


def test_holes_are_measured_kept_and_compared(
    project: Path, demo_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "holes.jsonl"
    common = ("fim", project, "--bundle", demo_bundle, "--holes", 6, "--context", 600)
    done = _run(*common, "--compare", "int4", "fp32", "--out", out, "--json")
    told = _last(done)
    assert "6 holes in 3 of 3 files" in done.stderr
    assert told["runs"]["int4"]["figures"]["kinds"].keys() == {"line", "span", "body", "all"}
    assert told["comparison"]["bits_per_byte"].keys() == {"spm", "psm"}
    files = [tmp_path / f"holes.{variant}.jsonl" for variant in ("int4", "fp32")]
    assert [len(file.read_bytes().splitlines()) for file in files] == [7, 7]
    again = _last(_run("compare", *files, "--json"))
    assert again["comparison"] == told["comparison"]
    resumed = _run(*common, "--compare", "int4", "fp32", "--out", out, "--json")
    assert "6 found there, 0 to do" in resumed.stderr
    assert _last(resumed) == told
    other = _run(*common, "--variant", "int4", "--out", files[0], "--seed", 1)
    assert "holds results of sha256" in other.stderr


MISTAKES: list[tuple[tuple[object, ...], str]] = [
    (("humaneval", "none.jsonl"), "none.jsonl cannot be read: No such file or directory"),
    (("humaneval", "FILE", "--n", 0), "n 0; expected 1 or more"),
    (("humaneval", "FILE", "--limit", -1, "--jobs", 0), "limit -1; expected 1 or more; jobs 0"),
    (("humaneval", "FILE", "--preset", "hot"), "preset 'hot'; expected one of: greedy, cool"),
    (
        ("humaneval", "FILE", "--form", "fun"),
        "form 'fun'; expected one of: ltr, fim, spm, psm, chat",
    ),
    (("humaneval", "FILE", "--max-tokens", 0), "max_tokens 0; expected 1"),
    (("humaneval", "FILE", "--timeout", 0), "timeout 0; expected over 0"),
    (("humaneval", "FILE", "--temperature", -1), "temperature -1.0; expected 0 to 100"),
    (("humaneval", "FILE", "--variant", "int9"), "no variant 'int9'; it has: "),
    (("humaneval", "FILE", "--compare", "int4", "int9"), "no variant 'int9'; it has: "),
    (("humaneval", "FILE", "--compare", "int4", "int4"), "names int4 twice"),
    (("humaneval", "FILE", "--compare", "int4", "fp32", "--variant", "int8"), "not both"),
    (("humaneval", "FILE", "--canonical", "--compare", "int4", "fp32"), "nothing to --compare"),
    (("humaneval", "FILE", "--out", "no/such/folder"), "No such file or directory"),
    (("infilling", "FILE"), "plain HumanEval is for: refact-edge eval humaneval"),
    (("fim", "none"), "none is not a folder"),
    (("fim", "FOLDER", "--holes", 1), "holes 1; expected at least one of each kind: 3"),
    (("fim", "FOLDER", "--kinds", "row"), "kinds row; expected some of: line, span, body"),
    (("fim", "FOLDER", "--ext", "xyz"), "holds no source file"),
    (("fim", "FOLDER", "--context", 5), "context 5; expected 128 or more"),
    (("fim", "FOLDER", "--order", "xyz"), "order 'xyz'; expected one of: spm, psm"),
    (("compare", "none", "FILE"), "none: No such file or directory"),
    (("compare", "FILE", "FILE"), "is not a file of results; expected one that --out has"),
]


@sandboxed
@pytest.mark.parametrize(("arguments", "complaint"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_1(
    arguments: tuple[object, ...],
    complaint: str,
    humaneval: Path,
    project: Path,
    demo_bundle: Path,
) -> None:
    named = {"FILE": humaneval, "FOLDER": project}
    bundle = () if arguments[0] == "compare" else ("--bundle", demo_bundle)
    done = _run(*(named.get(str(a), a) for a in arguments), *bundle)
    assert (done.returncode, done.stdout) == (1, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert complaint in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["humaneval", "infilling", "fim", "compare"])
def test_every_command_has_examples_in_its_help(command: str) -> None:
    shown = _run(command, "--help")
    assert shown.returncode == 0
    assert f"    refact-edge eval {command} " in shown.stdout.split("Examples:")[1]


def test_the_help_warns_of_the_code_in_the_results_of_fim() -> None:
    assert "holds pieces of your code" in " ".join(_run("fim", "--help").stdout.split())


def test_judging_loads_neither_torch_nor_onnx(humaneval: Path) -> None:
    script = (
        "import sys\n"
        "from refact_edge.runtime.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'scipy', 'transformers', 'safetensors', 'onnxruntime'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    arguments = ["eval", "humaneval", str(humaneval), "--canonical", "--unsafe"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]"
