"""The examples, as people run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from program import program_in
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


class Shell:
    """What a notebook's cells see of their notebook."""

    def __init__(self) -> None:
        self.magics: dict[str, Callable[[str, str], None]] = {}
        self.cells: list[str] = []

    def register_magic_function(self, function: Callable[[str, str], None], kind: str) -> None:
        assert kind == "cell"
        self.magics[function.__name__] = function

    def set_next_input(self, text: str) -> None:
        self.cells.append(text)


def test_a_notebooks_cell_is_completed(root: Path, server: Served) -> None:
    notebook = json.loads((root / "examples" / "notebook" / "completing.ipynb").read_text("utf-8"))
    sources = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    shell = Shell()
    names: dict[str, object] = {"get_ipython": lambda: shell}
    for source in sources:
        if source.startswith("%%"):
            magic, _, cell = source.removeprefix("%%").partition("\n")
            shell.magics[magic]("", cell + "\n")
        else:
            exec(source.replace("http://127.0.0.1:8012", server.url), names)
    (cell,) = shell.cells
    assert cell.startswith("def area(width, height):\n    return ")
    assert len(cell) > len("def area(width, height):\n    return ")


def test_hidden_lines_are_counted(root: Path, demo_bundle: Path) -> None:
    file = root / "runtime" / "engine" / "cancel.py"
    last = _run(root, "hidden_lines.py", file, demo_bundle).splitlines()[-1]
    assert last.startswith("int4: ")
    assert last.endswith(" of 10 lines exact")


def test_several_are_completed_in_one_event_loop(root: Path, demo_bundle: Path) -> None:
    lines = _run(root, "asyncio/service.py", demo_bundle).splitlines()
    assert any(line.startswith("def add(a, b):") for line in lines)
    assert {line[0] for line in lines if line[1:2] == ":"} == {"0", "1", "2"}


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js here")
def test_lines_are_completed_by_node(root: Path, demo_bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["node", str(root / "examples" / "node" / "complete.js"), str(demo_bundle)],
        input="import o\nfor i in \n", capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "REFACT_EDGE": str(program_in(tmp_path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (line.removeprefix("> ") for line in done.stdout.splitlines()[1:3])
    assert one.startswith("import o")
    assert len(two) > len("for i in ")


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
    for folder in (path for path in (root / "examples").iterdir() if (path / "README.md").exists()):
        assert f"({folder.name}/README.md)" in page
        text = (folder / "README.md").read_text(encoding="utf-8")
        assert len([line for line in text.splitlines() if line.startswith("    ")]) == 2
