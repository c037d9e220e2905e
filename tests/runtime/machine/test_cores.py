"""How many threads compute, on machines of several kinds."""

import os
from pathlib import Path

import pytest

from refact_edge.runtime.machine.cores import fast_cores, usable_cpus

CPU = "devices/system/cpu"
V1, V2 = "fs/cgroup/cpu,cpuacct", "fs/cgroup"


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(text + "\n"))
    return root


def _threads_of(pairs: int) -> dict[str, str]:
    names = {f"{CPU}/cpu{i}/topology/thread_siblings_list": str(i) for i in range(8)}
    for i in range(pairs):
        for one in (2 * i, 2 * i + 1):
            names[f"{CPU}/cpu{one}/topology/thread_siblings_list"] = f"{2 * i}-{2 * i + 1}"
    return names


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        (_threads_of(4), 4),
        (_threads_of(2) | {"devices/cpu_core/cpus": "0-3"}, 2),  # and four efficient ones
        ({f"{CPU}/cpu{i}/cpu_capacity": "1024" if i < 2 else "446" for i in range(8)}, 2),
        ({f"{CPU}/cpu{i}/cpu_capacity": "1024" if i < 2 else "900" for i in range(8)}, 8),
        ({"devices/cpu_core/cpus": "nonsense-²", f"{CPU}/cpu0/cpu_capacity": "²"}, 8),
    ],
)
def test_one_thread_a_fast_core_that_may_be_used(
    files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    assert fast_cores(_write(tmp_path, files), tmp_path) == cores


def _v1(folder: str, quota: str, period: str = "100000") -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {f"{V2}/cpu.max": "200000 100000"}, 2),
        ("0::/", {f"{V2}/cpu.max": "250000 100000"}, 2),  # 3 would use it up and be stopped
        ("0::/", {f"{V2}/cpu.max": "50000 100000"}, 1),
        ("0::/", {f"{V2}/cpu.max": "900000 100000"}, 8),
        ("", {f"{V2}/cpu.max": "200000 100000"}, 2),
        ("0::/system.slice/edge.service", {f"{V2}/system.slice/edge.service/cpu.max": "2 1"}, 2),
        ("0::/a/b/c", {f"{V2}/a/b/c/cpu.max": "max 1", f"{V2}/a/cpu.max": "3 1"}, 3),
        ("0::/a/b", {f"{V2}/a/b/cpu.max": "3 1", f"{V2}/a/cpu.max": "2 1"}, 2),
        ("0::/a", {f"{V2}/b/cpu.max": "2 1"}, 8),
        ("0::/../../b", {f"{V2}/cpu.max": "4 1", "devices/b/cpu.max": "2 1"}, 4),
        ("3:cpu,cpuacct:/\n0::/", _v1(V1, "200000"), 2),
        ("3:cpu,cpuacct:/docker/1", _v1(V1, "200000"), 2),  # a container with the host's path
        ("3:cpu:/", _v1("fs/cgroup/cpu", "350000"), 3),
        ("3:cpu,cpuacct:/a/b", _v1(f"{V1}/a", "200000") | _v1(f"{V1}/a/b", "-1"), 2),
        ("3:cpu:/a\n0::/b", _v1("fs/cgroup/cpu/a", "4", "1") | _v1(f"{V2}/b", "2", "1"), 4),
        ("3:cpu:/a\n0::/b", {"fs/cgroup/unified/b/cpu.max": "2 1"}, 2),
        ("3:cpuset:/a\n4:cpu:/", _v1("fs/cgroup/cpu/a", "2", "1"), 8),
        ("0::/", _v1(V1, "200000", "0"), 8),
        ("0::/", _v1(V1, "-1"), 8),
        ("0::/", {f"{V2}/cpu.max": "max 100000"}, 8),
        ("0::/", {f"{V2}/cpu.max": "?"}, 8),
        ("0::/", {f"{V2}/cpu.max": "² ²"}, 8),
        ("nonsense", {f"{V2}/cpu.max": "\udcff"}, 8),
    ],
)
def test_no_more_threads_than_the_control_groups_give_time_for(
    groups: str, files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    process = _write(tmp_path / "process", {"cgroup": groups})
    assert fast_cores(_write(tmp_path, files), process) == cores


def test_cores_that_this_process_may_not_use_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 6}, raising=False)
    files = _threads_of(2) | {"devices/cpu_core/cpus": "0-3"}
    assert fast_cores(_write(tmp_path, files), tmp_path) == 1


@pytest.mark.parametrize(
    ("counted", "logical", "cores"), [(4, 16, 4), (0, 16, 8), (0, 1, 1), (0, None, 1)]
)
def test_elsewhere_the_library_counts_and_without_it_half_are_taken(
    counted: int, logical: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: logical)
    monkeypatch.setattr("refact_edge.runtime.machine.cores.library_cores", lambda: counted)
    assert fast_cores() == cores


@pytest.mark.usefixtures("eight")
def test_work_in_a_queue_is_for_all_cpus_within_the_quota(tmp_path: Path) -> None:
    _write(tmp_path, _threads_of(4) | {"devices/cpu_core/cpus": "0-3"})
    assert usable_cpus(tmp_path, tmp_path) == 8
    _write(tmp_path, {f"{V2}/cpu.max": "250000 100000"})
    assert usable_cpus(tmp_path, tmp_path) == 2
