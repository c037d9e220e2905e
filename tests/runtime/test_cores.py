"""How many threads compute, on machines of several kinds."""

import os
from pathlib import Path

import pytest

from refact_edge.runtime.cores import fast_cores

CPU = "devices/system/cpu"


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
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
        ({"fs/cgroup/cpu.max": "250000 100000"}, 3),
        ({"fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"devices/cpu_core/cpus": "nonsense", "fs/cgroup/cpu.max": "?"}, 8),
    ],
)
def test_one_thread_a_fast_core_that_may_be_used(
    files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    assert fast_cores(_write(tmp_path, files)) == cores


def test_cores_that_this_process_may_not_use_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 6}, raising=False)
    files = _threads_of(2) | {"devices/cpu_core/cpus": "0-3"}
    assert fast_cores(_write(tmp_path, files)) == 1


def test_elsewhere_the_number_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert fast_cores() == 0
