"""The recipe for machines that we do not have: its form, as it was never run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from refact_edge.runtime.bench.cli import bench
from refact_edge.runtime.console.cli import cli

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

MACHINES = {
    "macos-15",
    "macos-15-intel",
    "windows-latest",
    "windows-11-arm",
    "ubuntu-24.04",
    "ubuntu-24.04-arm",
}


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def recipe(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def _steps(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in recipe["jobs"].values() for step in job["steps"]]


def _commands(recipe: dict[str, Any]) -> list[list[str]]:
    lines = [line for step in _steps(recipe) for line in step.get("run", "").splitlines()]
    return [shlex.split(line) for line in lines]


def test_it_runs_on_the_six_machines(recipe: dict[str, Any]) -> None:
    job = recipe["jobs"]["machine"]
    assert {one["machine"] for one in job["strategy"]["matrix"]["include"]} == MACHINES
    assert job["runs-on"] == "${{ matrix.machine }}"


def test_its_head_says_that_it_was_never_run(text: str) -> None:
    assert text.startswith("# This recipe has never been run")


def test_it_may_only_read_and_takes_actions_by_their_commit(recipe: dict[str, Any]) -> None:
    assert recipe["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in recipe["jobs"].values())
    actions = [step["uses"] for step in _steps(recipe) if "uses" in step]
    assert len(actions) == 7
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in actions)


def test_it_keeps_the_report_that_it_wrote(recipe: dict[str, Any]) -> None:
    steps = recipe["jobs"]["machine"]["steps"]
    (upload,) = [one for one in steps if "upload-artifact" in one.get("uses", "")]
    (file,) = [line[-1] for line in _commands(recipe) if "--report" in line]
    assert upload["with"]["path"] == file


def test_each_machine_installs_the_wheels_that_one_built(recipe: dict[str, Any]) -> None:
    wheels, machine = recipe["jobs"]["wheels"], recipe["jobs"]["machine"]
    (upload,) = [one for one in wheels["steps"] if "upload-artifact" in one.get("uses", "")]
    (download,) = [one for one in machine["steps"] if "download-artifact" in one.get("uses", "")]
    assert machine["needs"] == "wheels"
    assert upload["with"] == download["with"]
    assert f"--find-links {download['with']['path']}" in str(machine["steps"])


def test_it_uses_only_commands_and_options_that_there_are(
    recipe: dict[str, Any], root: Path
) -> None:
    context = click.Context(cli)
    targets = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE)
    checked = 0
    for program, *arguments in _commands(recipe):
        if program == "refact-edge":
            command = cli.get_command(context, arguments[0])
            if command is bench:
                command = bench.commands["throughput"]
            assert command is not None, arguments
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in arguments if word.startswith("--")} <= known
        elif program == "make":
            assert arguments[0] in targets
        else:
            assert (program, *arguments[:1]) == ("python", "-m")
            assert arguments[1] in ("pip", "pytest")
        checked += 1
    assert checked >= 5


def test_the_tests_that_it_runs_are_there(recipe: dict[str, Any], root: Path) -> None:
    paths = [
        word
        for line in _commands(recipe)
        if "pytest" in line
        for word in line
        if word.startswith("tests/")
    ]
    assert paths
    assert all((root / path).exists() for path in paths)
