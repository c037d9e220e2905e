"""What is wrong with a library for its target is said, each thing in a line."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lief", reason="no lief: `make wheels` installs it")

from release.binaries import EXPORTS, UNSIGNED, Binary, problems_of, read_binary
from release.targets import TARGETS, Target

GLIBC, _, _, _, WINDOWS, _, MACOS, _ = TARGETS
GOOD = {
    GLIBC: Binary("ELF", "X86_64", frozenset({"libc.so.6"}), frozenset(EXPORTS), (2, 16)),
    WINDOWS: Binary("PE", "AMD64", frozenset({"KERNEL32.dll"}), frozenset(EXPORTS)),
    MACOS: Binary(
        "MACHO", "ARM64", frozenset({"/usr/lib/libSystem.B.dylib"}), frozenset(EXPORTS), (11, 0)
    ),
}


@pytest.mark.parametrize("target", GOOD, ids=lambda target: target.name)
def test_a_library_as_it_should_be_has_no_problems(target: Target) -> None:
    assert list(problems_of(GOOD[target], target)) == []


@pytest.mark.parametrize(
    ("target", "change", "words"),
    [
        (GLIBC, {"format": "PE"}, "it is PE, expected ELF"),
        (GLIBC, {"machine": "AARCH64"}, "for AARCH64, expected x86_64"),
        (GLIBC, {"imports": frozenset({"libgomp.so.1"})}, "needs libgomp.so.1"),
        (GLIBC, {"oldest": (2, 34)}, "needs version 2.34 of the system, expected 2.17"),
        (GLIBC, {"exports": frozenset({*EXPORTS, "pool_open"})}, "exports or lacks pool_open"),
        (WINDOWS, {"exports": frozenset(EXPORTS - {"edge_cpu"})}, "exports or lacks edge_cpu"),
        (WINDOWS, {"imports": frozenset({"VCRUNTIME140.dll"})}, "needs VCRUNTIME140.dll"),
        (MACOS, {"oldest": (12, 0)}, "needs version 12.0 of the system, expected 11.0"),
        (MACOS, {"problem": "it is not signed"}, "it is not signed"),
    ],
)
def test_each_fault_is_one_line(target: Target, change: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(replace(GOOD[target], **change), target)
    assert words in problem


def test_a_library_for_intel_macs_needs_no_signature() -> None:
    intel = replace(GOOD[MACOS], machine="X86_64", oldest=(10, 15), problem=UNSIGNED)
    assert list(problems_of(intel, TARGETS[7])) == []
    assert list(problems_of(replace(intel, problem="other"), TARGETS[7])) == ["other"]


def test_a_library_of_this_systems_compiler_is_read(root: Path) -> None:
    library = root / "runtime" / "backends" / "native" / "_edge.so"
    if sys.platform != "linux" or not library.is_file():
        pytest.skip("the native kernels were not built here, or not for Linux")
    binary = read_binary(library.read_bytes())
    assert binary.format == "ELF"
    assert binary.exports == EXPORTS
    assert "libc.so.6" in binary.imports
    assert (2, 2) < binary.oldest < (3,)


def test_what_is_no_library_is_refused() -> None:
    with pytest.raises(ValueError, match="no ELF, PE or Mach-O library"):
        read_binary(b"#!/bin/sh\n")
