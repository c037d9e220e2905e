"""What doctor looks at, how it judges that, and what it tells programs."""

import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest
from runner import runner_apart

from refact_edge import __version__
from refact_edge.runtime.console.cli import cli
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.console.findings import Finding, exit_status, severity_of, to_json
from refact_edge.runtime.console.kit import MARK, kit_findings

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


def test_what_has_changed_since_a_kit_was_installed_is_told(tmp_path: Path) -> None:
    assert list(kit_findings(tmp_path)) == []
    own = f"numpy=={metadata.version('numpy')} --hash=sha256:0\nrefact-edge=={__version__}\n"
    (tmp_path / MARK).write_text(own)
    (same,) = kit_findings(tmp_path)
    assert (same.state, same.problem) == (f"{__version__}, 2 packages", "")
    (tmp_path / MARK).write_text(f"{own}click==0.1\nno-such-package==1.0\n")
    (other,) = kit_findings(tmp_path)
    assert other.severity == "warning"
    assert other.problem == (
        f"changed since: click {metadata.version('click')} (the kit has 0.1), no-such-package is "
        "missing (the kit has 1.0); install the kit again"
    )
