"""The table of the emulated run tells right kernels from wrong ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPORT = Path(__file__).parent / "emulated" / "report.py"
BITS = "4 1 7 0a\n8 1 7 0b\n"
GOOD = """kernel: something that the kernel said
begin kinds
amx
avx2
end 0
begin steps amx 1 4
4 models, logits 0c
end 0
begin bits amx
4 1 7 0a
8 1 7 0b
end 0
begin products amx 1 60
60 products
end 0
"""


@pytest.fixture(scope="module")
def report() -> ModuleType:
    """Return report.py, which is a script's module and in no package."""
    spec = importlib.util.spec_from_file_location("emulated_report", REPORT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _row(report: ModuleType, serial: str, kind: str = "amx") -> tuple[str, ...]:
    """Return a kind's cells and faults."""
    (row,) = report.rows(report.parse(serial), [kind], BITS)
    return (*row.cells, *row.faults)


def test_a_right_kind_has_a_row_without_faults(report: ModuleType) -> None:
    assert _row(report, GOOD) == ("60 products", "4 models, logits 0c", "2 of 2 alike")


def test_other_bits_are_a_fault(report: ModuleType) -> None:
    cells = _row(report, GOOD.replace("0b", "0c"))
    assert cells[2] == "1 of 2 alike"
    assert "8 1 7 0c" in cells[3]


def test_a_failed_program_is_a_fault_with_its_output(report: ModuleType) -> None:
    cells = _row(report, GOOD.replace("60 products\nend 0", "off by 3\nend 1"))
    assert cells[0] == "failed"
    assert cells[3] == "products amx: exit status 1: off by 3"


def test_a_program_that_was_cut_off_is_a_fault(report: ModuleType) -> None:
    cells = _row(report, GOOD.removesuffix("end 0\n"))
    assert cells[0] == "no end"
    assert cells[3] == "products amx: did not come to its end"


def test_a_kind_that_the_emulated_cpu_lacks_is_a_fault(report: ModuleType) -> None:
    assert _row(report, GOOD, "avxvnni") == ("-", "-", "-", "avxvnni: edge_cpu does not name it")


def test_without_a_reference_no_bits_are_right(report: ModuleType) -> None:
    (row,) = report.rows(report.parse(GOOD), ["amx"], "")
    assert row.faults


def test_kinds_with_other_logits_are_a_fault(report: ModuleType) -> None:
    other = "begin steps avx2 1 4\n4 models, logits 0d\nend 0\n"
    assert _row(report, GOOD + other)[3] == "steps amx: not all kinds have the same logits"
