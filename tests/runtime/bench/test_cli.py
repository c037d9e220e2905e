"""`refact-edge bench` as its user meets it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes import CountingSession
from runner import runner_apart

import refact_edge
from refact_edge.runtime.bench.cli import bench
from refact_edge.runtime.bench.rounds import WORKER
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.model import Model

COMMAND = [sys.executable, "-m", "refact_edge.runtime", "bench"]
Done = subprocess.CompletedProcess[str]


def _run(*arguments: object) -> Done:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "mine.jsonl"
    lines = [{"trace": 1, "name": "mine", "file": "a.py", "text": "x = 1\n"}]
    lines += [{"ms": 9, "at": 6 + i, "delete": 0, "insert": "y", "ask": True} for i in range(4)]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_throughput_gives_its_figures_as_json_and_draws_them(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "speed.svg"
    done = _run(
        tiny_bundle, "--rounds", 2, "--longest", 200, "--threads", 1, "--json", "--plot", plot
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["variant"], figures["threads"], figures["rounds"]) == ("int4", 1, 2)
    assert [prompt["tokens"] for prompt in figures["prefill"]] == [128, 200]
    assert [written["depth_tokens"] for written in figures["decode"]] == [64]
    spreads = [
        figures["read_bandwidth_bytes_per_s"],
        figures["cold_start_ms"],
        figures["limit_ms"],
        figures["prefill"][0]["prefill_ms"],
        figures["decode"][0]["decode_ms"],
        figures["decode"][0]["share_of_limit"],
    ]
    if sys.platform == "linux":
        spreads += [figures["memory"][f"{name}_bytes"] for name in ("anonymous", "mapped", "peak")]
    for spread in spreads:
        assert 0 < spread["low"] <= spread["median"] <= spread["high"]
    assert "Writing" in plot.read_text()


def test_bench_alone_is_throughput_and_prints_a_table(tiny_bundle: Path) -> None:
    done = _run("--rounds", 1, "--longest", 64, "--variant", "hybrid", tiny_bundle)
    assert done.returncode == 0, done.stderr
    engine = refact_edge.load(tiny_bundle, variant="hybrid").engine
    assert done.stdout.startswith(f"{tiny_bundle}: hybrid on cpu by {engine}, ")
    assert "of the limit" in done.stdout
    assert done.stderr == "measuring ...\n"


def test_typing_gives_its_figures_as_json(tiny_bundle: Path, trace: Path) -> None:
    done = _run("typing", tiny_bundle, "--trace", trace, "--max-tokens", 2, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    (mine,) = figures["traces"]
    assert mine.keys() == figures["overall"].keys() == {
        "name", "requests", "first_token_ms", "total_ms", "prompt_tokens", "evaluated_tokens",
        "reused_share", "drafted", "accepted",
    }  # fmt: skip
    assert mine["first_token_ms"].keys() == mine["total_ms"].keys() == {"p50", "p95"}
    assert (mine["name"], mine["requests"]) == ("mine", 4)
    assert 0 < mine["reused_share"] < 1
    assert 0 < mine["evaluated_tokens"] < mine["prompt_tokens"]
    assert 0 <= mine["accepted"] <= mine["drafted"]


def test_typing_prints_a_table_of_the_shipped_traces(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path, **_: object) -> Model:
        bundle = read_bundle(path)
        session = CountingSession(bundle.sizes)
        return Model(bundle, "int4", session)

    monkeypatch.setattr("refact_edge.runtime.bench.cli.load", load)
    done = runner_apart().invoke(bench, ["typing", str(tiny_bundle), "--max-tokens", "1"])
    assert done.exit_code == 0, done.output
    names = [line.split()[0] for line in done.stdout.splitlines()[5:]]
    assert names == ["function", "jumps", "middle", "all"]


def test_keystroke_types_in_files_of_many_lengths(tiny_bundle: Path, tmp_path: Path) -> None:
    plot = tmp_path / "keystroke.svg"
    done = _run("keystroke", tiny_bundle, "--longest", 1000, "--json", "--plot", plot)
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert [one["lines"] for one in files] == [10, 30, 100, 300, 1000]
    assert files[0]["prompt_tokens"] < files[-1]["prompt_tokens"]
    for one in files:
        spread = one["first_token_ms"]
        assert 0 < spread["low"] <= spread["median"] <= spread["high"]
    assert "tokens of the prompt" in plot.read_text()
    table = _run("keystroke", tiny_bundle, "--longest", 10).stdout.splitlines()
    assert table[-1].split()[0] == "10"
    assert "longest 9; expected 10 or more" in _run("keystroke", "--longest", 9, tiny_bundle).stderr


MISTAKES = [
    (["--rounds", "0"], "rounds 0; expected 1 or more"),
    (["--longest", "9999"], "longest 9999; expected 1 to 624"),
    (["--variant", "int9"], "no variant 'int9'"),
    (["--shape", "refact-1.6b"], "or --shape refact-1.6b, not both"),
    (["--keep", "here"], "--keep keeps what --shape makes"),
    (["--device", "gpu"], "device 'gpu'; expected cpu or cuda"),
    (["--device", "cuda", "--engine", "native"], "--device cuda goes without --engine"),
    (["--plot", "speed.gif"], "expected a file that ends with .svg or .png"),
]


@pytest.mark.parametrize(("options", "complaint"), MISTAKES)
def test_a_mistake_is_told_before_anything_is_measured(
    options: list[str], complaint: str, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("refact_edge.runtime.bench.cli.run_round")
    error = CliRunner().invoke(bench, [str(tiny_bundle), *options]).exception
    assert isinstance(error, OptionError)
    assert complaint in str(error)


def test_what_stops_a_round_is_one_line(bundle_copy: Path) -> None:
    data = bundle_copy / "onnx" / "model_q4.onnx_data"
    data.write_bytes(bytes(data.stat().st_size))
    done = _run(bundle_copy, "--rounds", 1)
    assert done.returncode == 1
    assert "was altered: its sha256 is not the manifest's" in done.stderr
    assert done.stderr.splitlines()[1].startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_ctrl_c_leaves_no_process_behind(bundle_copy: Path) -> None:
    command = [*COMMAND, str(bundle_copy), "--rounds", "99"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not _workers(bundle_copy) and process.poll() is None:
        pass
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.split()) == (130, ["measuring", "...", "interrupted"])
    assert _workers(bundle_copy) == []


def _workers(bundle: Path) -> list[str]:
    folders = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if WORKER in words and str(bundle) in words:
            folders.append(file.parent.name)
    return folders


@pytest.mark.parametrize("command", [[], ["throughput"], ["typing"]])
def test_the_help_has_examples(command: list[str]) -> None:
    done = CliRunner().invoke(bench, [*command, "--help"])
    assert done.exit_code == 0
    assert "    refact-edge bench " in done.stdout.split("Examples:")[1]
