"""Without onnxruntime int4 runs all the same, and what is lost is said."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.runtime.backends import absence
from refact_edge.runtime.opening.machine import why_not_native

# As where it is not installed: it cannot be found, and importing it fails.
WITHOUT = """
import sys
sys.modules["onnxruntime"] = None
from refact_edge.runtime.__main__ import main
main()
"""


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("system", "machine", "macos", "libc", "reason"),
    [
        ("darwin", "x86_64", "15.1", ("", ""), "it has no wheel for Intel Macs"),
        ("darwin", "arm64", "13.6", ("", ""), "no wheel for macOS 13.6, only from 14 on"),
        ("darwin", "arm64", "14.0", ("", ""), ""),
        ("linux", "x86_64", "", ("", ""), "it has no wheel for musl"),
        ("linux", "x86_64", "", ("musl", "1.2.5"), "it has no wheel for musl"),
        ("linux", "x86_64", "", ("glibc", "2.17"), "no wheel for glibc 2.17, only from 2.27 on"),
        ("linux", "aarch64", "", ("glibc", "2.36"), ""),
        ("win32", "AMD64", "", ("", ""), ""),
    ],
)
def test_the_systems_without_a_wheel_of_it_are_known(
    system: str, machine: str, macos: str, libc: tuple[str, str], reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "mac_ver", lambda: (macos, ("", "", ""), machine))
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    assert absence.why_no_wheel().endswith(reason)
    assert bool(absence.why_no_wheel()) == bool(reason)


@pytest.mark.parametrize("variant", ["int4", "int8", "hybrid"])
def test_these_complete_without_onnxruntime(tiny_bundle: Path, variant: str) -> None:
    if reason := why_not_native():
        pytest.skip(reason)
    command = "complete", "--bundle", tiny_bundle, "--variant", variant
    done = _run(*command, "--prefix", "a", "--max-tokens", 3)
    assert (done.returncode, done.stderr) == (0, "")


def test_fp32_without_onnxruntime_is_refused_in_one_line(tiny_bundle: Path) -> None:
    done = _run("complete", "--bundle", tiny_bundle, "--variant", "fp32", "--prefix", "a")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "onnxruntime is not installed" in done.stderr


def test_doctor_says_that_it_is_absent_and_what_that_costs(tiny_bundle: Path) -> None:
    if reason := why_not_native():
        pytest.skip(reason)
    done = _run("doctor", tiny_bundle)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ok onnxruntime  ")]
    assert "not installed" in line
    assert "fp16 and fp32 need it, int4 and int8 run by the native kernels" in line


def test_on_a_system_without_a_wheel_no_extra_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    from refact_edge.runtime.backends import onnxruntime as session
    from refact_edge.runtime.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(absence, "why_no_wheel", lambda: "it has no wheel for musl")
    with pytest.raises(MissingExtraError) as raised:
        session.import_onnxruntime()
    assert "no wheel for musl: take int4" in str(raised.value)
    assert "pip install" not in str(raised.value)
