"""The blocks of docs/embedding*.md in other languages, run as they stand there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from program import program_in
from sidecar_host import hosting

CSHARP = """
using System;
using System.Threading.Tasks;
using RefactEdge;
internal static class Program
{
    private static async Task Run()
    {
        %s
    }
    private static void Main() { Run().GetAwaiter().GetResult(); }
}
"""


@pytest.fixture
def page(root: Path) -> str:
    pages = sorted((root / "docs").glob("embedding*.md"))
    return "\n".join(page.read_text("utf-8") for page in pages)


@pytest.fixture
def place(demo_bundle: Path, tmp_path: Path) -> Path:
    """Return a folder with a bundle, and a program on its path."""
    (tmp_path / "bundle").symlink_to(demo_bundle)
    program_in(tmp_path)
    return tmp_path


def _block(page: str, language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(block)


def _run(place: Path, *command: object) -> str:
    environment = os.environ | {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [*map(str, command)], cwd=place, capture_output=True, text=True, check=False,
        env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js here")
def test_the_javascript_runs(page: str, place: Path, root: Path) -> None:
    client = root / "runtime" / "clients" / "node"
    block = _block(page, "js").replace("'refact-edge-client'", json.dumps(str(client)))
    (place / "program.js").write_text(f"(async () => {{\n{block}\n}})();\n")
    assert len(_run(place, "node", "program.js")) > 20


@pytest.mark.skipif(not shutil.which("mcs"), reason="make test-clients installs Mono")
def test_the_csharp_runs(page: str, place: Path, root: Path) -> None:
    (place / "Program.cs").write_text(CSHARP % _block(page, "csharp"))
    client = (root / "runtime" / "clients" / "csharp").glob("*.cs")
    library = "-r:System.Runtime.Serialization"
    _run(place, "mcs", library, "-out:program.exe", "Program.cs", *client)
    assert _run(place, "mono", "program.exe").strip()


def test_the_messages_are_such_as_are_sent(page: str, demo_bundle: Path) -> None:
    lines = [line for line in _block(page, "text").splitlines() if line[:3] in ("-> ", "<- ")]
    said = [json.loads(line[3:].replace(", ...}", "}")) for line in lines if line[:3] == "<- "]
    asked = [json.loads(line[3:]) for line in lines if line[:3] == "-> "]
    with hosting(demo_bundle, lines=True) as host:
        answers: dict[object, Any] = {}
        for message in asked:
            message["params"].pop("processId", None)  # of a host that is not there
            host.send(json.dumps(message).encode())
            if "id" in message and message["method"] != "chat":
                answers[message["id"]] = host.result(message["id"])
        answers[4] = host.result(4)
    for message in said:
        if "result" in message and message["result"] is not None:
            assert message["result"].keys() == answers[message["id"]].keys()


def test_the_shell_commands_are_ours(page: str) -> None:
    commands = re.findall(r"^    (?:dist/refact-edge/)?refact-edge (\w+)", page, re.MULTILINE)
    assert {*commands} == {"sidecar"}
