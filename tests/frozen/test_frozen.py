"""Programs that PyInstaller froze, run where there is no Python and no checkout.

`make frozen-check` builds the wheel, installs it where PyInstaller is, and names that here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PYTHON = os.environ.get("REFACT_EDGE_FREEZER", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="make frozen-check freezes programs"),
    pytest.mark.skipif(not shutil.which("bwrap"), reason="no bubblewrap here"),
]
# Libraries of the system, and no Python: that lies in /usr/lib/python3.* and /usr/bin.
_C_LIBRARY = ("/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu")
PROGRAM = """
import sys
import refact_edge
with refact_edge.load(sys.argv[1]) as model:
    print(model.info().engine)
    print("".join(model.complete("def add(a, b):\\n    return ", "\\n", max_tokens=8)))
"""
COMMAND = """
from refact_edge.runtime.__main__ import main
main()
"""


def _freeze(folder: Path, name: str, source: str, *options: str) -> Path:
    """Freeze a program by the hook alone, and return the folder that is to be shipped."""
    script = folder / f"{name}.py"
    script.write_text(source)
    command = [PYTHON, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", "--name", name]
    done = subprocess.run(
        [*command, *options, str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "dist"


def _alone(shipped: Path, *command: object, bundle: Path, stdin: str = "") -> str:
    """Run a program with the C library and nothing else of this machine."""
    walls = [
        "bwrap", "--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev",
        "--tmpfs", "/tmp", "--ro-bind", shipped, "/app", "--ro-bind", bundle, "/bundle",
        *(word for path in _C_LIBRARY if Path(path).exists() for word in ("--ro-bind", path, path)),
        "--clearenv", "--setenv", "HOME", "/tmp",
    ]  # fmt: skip
    done = subprocess.run(
        [*map(str, walls), *map(str, command)], input=stdin, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_frozen_program_computes_by_the_kernels(
    form: str, demo_bundle: Path, tmp_path: Path
) -> None:
    options = ["--onefile"] if form == "file" else []
    shipped = _freeze(tmp_path, "program", PROGRAM, *options)
    place = "/app/program" if form == "file" else "/app/program/program"
    engine, *text = _alone(shipped, place, "/bundle", bundle=demo_bundle).splitlines()
    assert engine.startswith("native kernels (")
    assert text
    print(f"\nprogram, one {form}: {_megabytes(shipped / 'program'):.1f} MB")


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_frozen_sidecar_needs_no_python(form: str, demo_bundle: Path, tmp_path: Path) -> None:
    options = ["--onefile"] if form == "file" else []
    shipped = _freeze(tmp_path, "refact-edge", COMMAND, *options)
    place = "/app/refact-edge" if form == "file" else "/app/refact-edge/refact-edge"
    doctor = _alone(shipped, place, "doctor", "/bundle", bundle=demo_bundle)
    assert "native kernels" in doctor
    requests = [
        {"method": "initialize", "params": {}},
        {"method": "complete", "params": {"prefix": "import o", "temperature": 0, "maxTokens": 4}},
    ]
    lines = "".join(
        json.dumps({"jsonrpc": "2.0", "id": number, **request}) + "\n"
        for number, request in enumerate(requests)
    )
    said = _alone(shipped, place, "sidecar", "/bundle", "--lines", bundle=demo_bundle, stdin=lines)
    ready, *answers = map(json.loads, said.splitlines())
    assert ready["method"] == "ready"
    assert {answer["id"] for answer in answers} == {0, 1}
    assert not [answer for answer in answers if "error" in answer]
    print(f"\nsidecar, one {form}: {_megabytes(shipped / 'refact-edge'):.1f} MB")
