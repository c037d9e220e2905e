"""The C# client, compiled and run by Mono beside the real sidecar."""

import shutil
import subprocess
from pathlib import Path

import pytest
from program import program_in

MISSING = [tool for tool in ("mcs", "mono") if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"make test-clients installs {MISSING}")


def test_the_client_does_what_it_says(root: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    client = root / "runtime" / "clients" / "csharp"
    program = tmp_path / "program.exe"
    sources = [*client.glob("*.cs"), Path(__file__).with_name("Program.cs")]
    compiled = subprocess.run(
        [
            "mcs", "-warnaserror", f"-out:{program}", "-r:System.Runtime.Serialization",
            *map(str, sources),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    done = subprocess.run(
        ["mono", str(program), str(tiny_bundle), str(program_in(tmp_path))],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 10
