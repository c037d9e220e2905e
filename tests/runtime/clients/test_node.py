"""The Node client, run by Node.js beside the real sidecar."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import program_in

from refact_edge import __version__

HERE = Path(__file__).parent
NODE = shutil.which("node")


@pytest.mark.usefixtures("importable_checkout")
def test_the_types_of_messages_are_those_of_the_schema(root: Path) -> None:
    from docs.messages import written

    for file, text in written().items():
        assert file.read_text(encoding="utf-8") == text, f"{file}: python -m docs.messages"
    package = (root / "runtime" / "clients" / "node" / "package.json").read_text("utf-8")
    assert f'"version": "{__version__}"' in package


@pytest.mark.skipif(NODE is None, reason="no Node.js here")
@pytest.mark.skipif(sys.platform == "win32", reason="the wrapper is a script of a shell")
def test_the_client_does_what_its_types_say(root: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "CLIENT": str(root / "runtime" / "clients" / "node"),
        "WRAPPER": str(program_in(tmp_path)),
        "BUNDLE": str(tiny_bundle),
    }
    done = subprocess.run(
        [str(NODE), "--test", str(HERE / "client.test.js")],
        capture_output=True, text=True, check=False, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
