"""The unit and the container file of docs/airgap.md, as the tools that read them see them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXPOSED_AT_MOST = 15  # of 100, as `systemd-analyze security` counts; 50 is MEDIUM


def _block(root: Path, language: str) -> str:
    text = (root / "docs" / "airgap.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(block)


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    words = list(map(str, command))
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit_and_finds_it_closed(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "refact-edge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "refact-edge.service"
    unit.write_text(_block(root, "ini").replace("/opt/refact-edge/bin/refact-edge", str(program)))
    verified = _run("systemd-analyze", "verify", "--man=no", unit)
    about_it = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert not about_it
    looked = _run(
        "systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSED_AT_MOST}", unit
    )
    assert looked.returncode == 0, looked.stdout + looked.stderr


def test_the_container_serves_with_options_that_serve_has(root: Path) -> None:
    from refact_edge.runtime.serve.cli import serve

    known = {name for parameter in serve.params for name in parameter.opts}
    for block in (_block(root, "ini"), _block(root, "dockerfile")):
        options = set(re.findall(r"--[a-z-]+", block)) - {"--no-index", "--find-links"}
        assert options
        assert options <= known
