"""The CPU's name and features, from Linux's file or from the native library."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from refact_edge.runtime.machine import cpu
from refact_edge.runtime.machine import from_library as machine


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_name_and_features", cpu.cpu_name_and_features.__wrapped__)


def test_linux_tells_both_in_a_file(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Fast One\nflags\t\t: sse avx512f avx2\n", encoding="utf-8")
    assert cpu.cpu_name_and_features(info) == ("Fast One", ("avx2", "avx512f"))


def test_elsewhere_the_library_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "Other One", frozenset({"fma", "avx2", "avx_vnni"})
    monkeypatch.setattr(cpu, "library_cpu", lambda: words)
    assert cpu.cpu_name_and_features(tmp_path / "none") == ("Other One", ("avx2", "avx_vnni"))


def test_without_a_library_the_name_is_what_python_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "library_cpu", lambda: ("", frozenset()))
    monkeypatch.setattr(platform, "processor", lambda: "ARMv8 (64-bit)")
    assert cpu.cpu_name_and_features(tmp_path / "none") == ("ARMv8 (64-bit)", ())


def test_the_library_of_this_installation_says_the_same_as_the_file() -> None:
    if not machine.library_cpu()[1] or not cpu._INFO.is_file():
        pytest.skip("there is no library, or no such file to compare with")
    name, features = machine.library_cpu()
    words = cpu.cpu_name_and_features()
    assert name in ("", words[0])
    # Of SVE the library says nothing, as no kernel uses it.
    assert features & {*cpu._FEATURES} == {*words[1]} - {"sve"}
