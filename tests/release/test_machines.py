"""Which machine runs what, and what is said where one is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from release.machines import MACHINES
from release.targets import TARGETS

HERE = ["amx", "avx512vnni", "avx2", "portable"]


def test_every_machine_runs_a_target_that_there_is() -> None:
    assert {machine.target for machine in MACHINES} <= {target.name for target in TARGETS}


def test_kinds_are_this_cpus_but_those_that_a_machine_lacks() -> None:
    kinds = {machine.name: machine.expected_kinds(HERE) for machine in MACHINES}
    assert kinds["this machine"] == HERE
    assert kinds["wine"] == HERE[1:]
    assert kinds["qemu max"] == ["i8mm", "neon", "portable"]
    assert kinds["qemu cortex-a72"] == ["portable"]


def test_a_missing_emulator_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (wine,) = [machine for machine in MACHINES if machine.name == "wine"]
    away = replace(wine, kinds=("portable",))  # on any machine
    assert away.why_not() == "no wine: apt-get install wine64"
