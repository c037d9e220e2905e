"""The scripts of a kit, as far as they can be read where nothing runs them."""

import re
import subprocess
from importlib import resources

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

SCRIPTS = resources.files("refact_edge.export.kit") / "scripts"
USED = {
    "Copy-Item", "Fail", "Get-ChildItem", "Get-Command", "Get-Content", "Get-FileHash", "Join-Path",
    "New-Item", "Out-Null", "Remove-Item", "Select-Object", "Split-Path", "Test-Path",
    "Write-Output",
}  # fmt: skip


def _nodes(node: Node) -> list[Node]:
    return [node, *(below for child in node.children for below in _nodes(child))]


@pytest.fixture(scope="module")
def powershell() -> list[Node]:
    parser = Parser(Language(tree_sitter_powershell.language()))
    return _nodes(parser.parse((SCRIPTS / "install.ps1").read_bytes()).root_node)


def test_the_script_for_windows_is_powershell(powershell: list[Node]) -> None:
    wrong = [node for node in powershell if node.is_error or node.is_missing]
    assert [(node.start_point.row + 1, node.text) for node in wrong] == []


def test_it_calls_what_windows_brings_alone(powershell: list[Node]) -> None:
    names = {
        node.text.decode()
        for node in powershell
        if node.type == "command_name" and node.text is not None
    }
    assert {name for name in names if re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)?", name)} == USED


def test_the_script_for_others_is_that_of_any_shell() -> None:
    done = subprocess.run(
        ["sh", "-n", str(SCRIPTS / "install.sh")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
