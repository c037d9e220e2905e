"""The examples, as people run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, serving


def _run(root: Path, name: str, *arguments: object, stdin: str = "") -> str:
    """Run an example; returns what it prints."""
    command = [sys.executable, str(root / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        command, input=stdin, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def server(demo_bundle: Path) -> Iterator[Served]:
    with serving(demo_bundle, variant="int4") as served:
        yield served


def test_a_cursor_is_completed(root: Path, demo_bundle: Path) -> None:
    assert _run(root, "complete.py", demo_bundle) == "return NotImplemented\n"


def test_warming_leaves_a_token_or_two(root: Path, demo_bundle: Path) -> None:
    cold, warm = _run(root, "warm.py", demo_bundle).splitlines()
    assert int(warm.split()[-3]) <= 2 < int(cold.split()[-3])


def test_a_conversation_is_answered_line_by_line(root: Path, demo_bundle: Path) -> None:
    output = _run(root, "chat.py", demo_bundle, stdin="Write __len__.\nAnd one that clears it.\n\n")
    assert output.count("def ") >= 2


def test_a_server_is_asked_without_any_package(root: Path, server: Served) -> None:
    output = _run(root, "http_client.py", server.url)
    body = {"prompt": "def add(a, b):\n    return ", "suffix": "\n\nprint(add(1, 2))\n"}
    whole = server.post("/v1/completions", **body, max_tokens=16, temperature=0).json()
    assert output == whole["choices"][0]["text"] + "\n"


def test_hidden_lines_are_counted(root: Path, demo_bundle: Path) -> None:
    file = root / "runtime" / "engine" / "cancel.py"
    last = _run(root, "hidden_lines.py", file, demo_bundle).splitlines()[-1]
    assert last.startswith("int4: ")
    assert last.endswith(" of 10 lines exact")


def test_a_server_that_does_not_answer_is_one_line(root: Path) -> None:
    command = [sys.executable, str(root / "examples" / "http_client.py"), "http://127.0.0.1:1"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("http://127.0.0.1:1: ")
    assert line.endswith("; start the server with: refact-edge serve")


def test_each_example_is_listed_and_each_is_run(root: Path) -> None:
    names = {file.name for file in (root / "examples").glob("*.py")}
    page = (root / "examples" / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in names if f"({name})" not in page or f'"{name}"' not in tests] == []
