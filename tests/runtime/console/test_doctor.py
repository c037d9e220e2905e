"""What doctor looks at, how it judges that, and what it tells programs."""

import json
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from runner import runner_apart

from refact_edge.runtime.console.cli import cli
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.console.findings import Finding, exit_status, severity_of, to_json

WELL = Finding("cpu", "there")
SLOW = Finding("cuda", "not usable", "no driver; install one", bearable=True)
BROKEN = Finding("  int4", "unusable", "a file is missing; copy the bundle again")


def test_the_worst_finding_decides() -> None:
    for findings, severity, status in (
        ([], "ok", 0),
        ([WELL], "ok", 0),
        ([WELL, SLOW], "warning", 3),
        ([SLOW, BROKEN, WELL], "error", 1),
    ):
        assert (severity_of(findings), exit_status(findings)) == (severity, status)


def test_programs_are_told_each_finding_with_its_remedy() -> None:
    report = to_json([WELL, BROKEN])
    assert report.keys() == {"schema", "version", "severity", "findings"}
    assert (report["schema"], report["severity"]) == (1, "error")
    assert report["findings"] == [
        {"subject": "cpu", "severity": "ok", "state": "there", "problem": ""},
        {
            "subject": "int4",
            "severity": "error",
            "state": "unusable",
            "problem": "a file is missing; copy the bundle again",
        },
    ]


def test_doctor_prints_one_json_object(bundle_copy: Path) -> None:
    (bundle_copy / "onnx" / "model_q4.onnx_data").unlink()
    done = runner_apart().invoke(cli, ["doctor", str(bundle_copy), "--json"])
    report = json.loads(done.stdout)
    assert (done.exit_code, report["severity"]) == (1, "error")
    (ill,) = [one for one in report["findings"] if one["severity"] == "error"]
    assert ill["subject"] == "int4"
    assert "model_q4.onnx_data is missing" in ill["problem"]


def test_looking_starts_no_program(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert examine(tiny_bundle)
