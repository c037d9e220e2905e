"""What a user sends us of a machine: all of it there, and nothing of the user."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from runner import runner_apart

from refact_edge.runtime.backends.native import library
from refact_edge.runtime.bench import report
from refact_edge.runtime.bench.bits import bits_of, same_on_cores, same_on_threads
from refact_edge.runtime.bench.cli import bench
from refact_edge.runtime.bench.products import products_per_s
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.opening import machine
from refact_edge.runtime.opening.trial import Trial


@pytest.fixture
def able() -> library.Native:
    if reason := machine.why_not_native():
        pytest.skip(reason)
    return library.opened()


@pytest.fixture(scope="module")
def done(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return what the command printed, and the file's text."""
    if reason := machine.why_not_native():
        pytest.skip(reason)
    file = tmp_path_factory.mktemp("report") / "report.json"
    arguments = [str(tiny_bundle), "--rounds", "1", "--longest", "64", "--report", str(file)]
    result = runner_apart().invoke(bench, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, file.read_text()


def test_a_report_holds_the_machine_the_kernels_and_both_engines(done: tuple[str, str]) -> None:
    content = json.loads(done[1])
    assert content["schema"] == report.SCHEMA
    assert content["cpu"]["name"]
    kinds = content["kernels"]["kinds"]
    assert [one["kind"] for one in kinds] == library.opened().able
    assert all(one["passes_self_test"] and len(one["bits"]) == 16 for one in kinds)
    assert content["kernels"]["same_bits_by_threads"] is True
    native, other = content["speed"]
    assert native["engine"].startswith("native")
    assert other["engine"].startswith("onnxruntime")
    ratio = other["prefill_ms"]["64"] / native["prefill_ms"]["64"]
    assert content["onnxruntime_over_native"]["prefill"]["64"] == pytest.approx(ratio)


def test_the_command_says_in_one_line_what_it_wrote_and_that_nothing_was_sent(
    done: tuple[str, str],
) -> None:
    (line,) = done[0].splitlines()
    assert line.startswith("wrote ")
    assert line.endswith("nothing was sent")


def test_a_report_names_no_host_no_user_and_no_folder(
    done: tuple[str, str], tiny_bundle: Path
) -> None:
    words = set(json.dumps(json.loads(done[1])).replace('"', " ").split())
    assert not {socket.gethostname(), getpass.getuser()} & words
    for folder in (tiny_bundle, Path.home(), Path.cwd(), library.LIBRARY.parent):
        assert str(folder) not in done[1]


def test_a_folder_in_which_no_outcome_can_be_kept_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcome = Trial("neon", 2.0, 1.0, "2026-11-29", note="/home/somebody cannot be written")
    monkeypatch.setattr(machine, "trial", lambda: outcome)
    assert report._why(str(outcome)) == str(replace(outcome, note=""))
    assert report._why(f"they {machine.FAILED}") == f"they {machine.FAILED}"


def test_without_kernels_or_onnxruntime_their_part_is_left_out(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> library.Native:
        raise OptionError("/home/somebody/_edge.so cannot be loaded")

    monkeypatch.setattr(library, "opened", absent)
    monkeypatch.setattr(machine, "why_not_native", lambda: "/home/somebody/_edge.so")
    monkeypatch.setattr(report, "onnxruntime_version", lambda: "")
    content = report.report_of(read_bundle(tiny_bundle), [])
    assert report.engines_here() == []
    assert (content["onnxruntime"], content["onnxruntime_over_native"]) == (None, None)
    assert "/home" not in json.dumps(content)


def test_bits_are_the_same_on_threads_and_cores(able: library.Native, tiny_bundle: Path) -> None:
    assert bits_of(able, able.best) == bits_of(able, able.best)
    assert same_on_threads(read_bundle(tiny_bundle), (1, 2))
    assert same_on_cores(able, able.best) in (True, None)


def test_the_speed_of_products_leaves_the_rounding_of_activations_out() -> None:
    """By a clock on which a product takes 1 s and 1 ms a row."""
    now = [0.0]

    class Slow:
        def product(self, _kind: str, codes: list[object], *_: object) -> None:
            now[0] += 1 + len(codes) / 1000

    speed = products_per_s(Slow(), "avx2", lambda: now[0])  # type: ignore[arg-type] # all that it needs
    assert speed == pytest.approx(128 * 2048 * 1000)


def test_what_a_report_has_no_use_for_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    for option in (["--variant", "int8"], ["--engine", "native"], ["--json"]):
        arguments = [str(tiny_bundle), "--report", str(tmp_path / "a.json"), *option]
        error = CliRunner().invoke(bench, arguments).exception
        assert isinstance(error, OptionError)
        assert "--report measures int4 by every engine" in str(error)


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot be written: .*; name another file"):
        report.write_report(tmp_path / "none" / "report.json", {})
