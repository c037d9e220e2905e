"""The extension of VS Code: compiled, and activated in a stub of the editor."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from program import program_in

NPM = shutil.which("npm")
pytestmark = pytest.mark.skipif(
    NPM is None or not os.environ.get("REFACT_EDGE_NPM"), reason="make test-clients installs it"
)


def test_it_is_compiled_and_completes(root: Path, demo_bundle: Path, tmp_path: Path) -> None:
    example = tmp_path / "vscode"
    shutil.copytree(root / "examples" / "vscode", example)
    for words in (["install", "--silent", "--no-audit", "--no-fund"], ["run", "compile"]):
        done = subprocess.run(
            [str(NPM), *words], cwd=example, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    environment = os.environ | {
        "EXTENSION": str(example / "out" / "extension.js"),
        "WRAPPER": str(program_in(tmp_path)),
        "BUNDLE": str(demo_bundle),
    }
    test = Path(__file__).with_name("extension.test.js")
    done = subprocess.run(
        ["node", "--test", "--test-force-exit", str(test)], capture_output=True, text=True,
        check=False, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
