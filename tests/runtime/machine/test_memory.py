"""How much memory a process can have: what Linux says, and the limits of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from refact_edge.runtime.machine.memory import available_memory

MIB = 2**20


def _write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n", encoding="utf-8")


@pytest.fixture
def linux(tmp_path: Path) -> Path:
    """Return the root of a Linux with 1,000 MiB available, and its process in the group /a/b."""
    _write(tmp_path, meminfo="MemTotal: 4096000 kB\nMemFree: 9 kB\nMemAvailable: 1024000 kB")
    _write(tmp_path / "process", cgroup="0::/a/b")
    return tmp_path


def _available(root: Path) -> int | None:
    return available_memory(root / "sys", root / "process", root / "meminfo")


def test_without_limits_all_that_is_available_counts(linux: Path) -> None:
    assert _available(linux) == 1000 * MIB


@pytest.mark.parametrize("group", ["a", "a/b"])
def test_a_limit_of_any_group_holds_less_what_is_used_but_for_pages_of_files(
    group: str, linux: Path
) -> None:
    folder = linux / "sys/fs/cgroup" / group
    stat = f"anon 7\nactive_file {100 * MIB}\ninactive_file {50 * MIB}"
    _write(folder, memory__max=600 * MIB, memory__current=350 * MIB, memory__stat=stat)
    assert _available(linux) == 400 * MIB


def test_a_group_without_a_limit_has_none(linux: Path) -> None:
    _write(linux / "sys/fs/cgroup/a", memory__max="max", memory__current=5)
    assert _available(linux) == 1000 * MIB


def test_the_older_layout_of_groups_is_read_too(linux: Path) -> None:
    _write(linux / "process", cgroup="7:memory:/c\n0::/a/b")
    names = {"memory__limit_in_bytes": 300 * MIB, "memory__usage_in_bytes": 120 * MIB}
    folder = linux / "sys/fs/cgroup/memory/c"
    _write(folder, **names, memory__stat=f"total_inactive_file {20 * MIB}")
    assert _available(linux) == 200 * MIB
    _write(folder, memory__limit_in_bytes=2**63 - 4096)  # its word for none
    assert _available(linux) == 1000 * MIB


def test_a_group_that_is_over_its_limit_has_nothing_left(linux: Path) -> None:
    _write(linux / "sys/fs/cgroup", memory__max=10 * MIB, memory__current=11 * MIB)
    assert _available(linux) == 0


def test_this_machine_has_some_memory() -> None:
    available = available_memory()
    assert available is None or available > 10 * MIB
