"""How many threads compute: one a fast core that this process may use.

A step waits for its slowest thread, so slower cores beside fast ones, second threads of a core and
more threads than a container may run all cost more than they give.
"""

from __future__ import annotations

import os
from pathlib import Path

from .from_library import library_cores
from .quota import quota, text

_SYSTEM, _PROCESS = Path("/sys"), Path("/proc/self")
_FAST = 0.75  # of the largest capacity; the efficient cores of a phone's or laptop's ARM are slower


def fast_cores(system: Path = _SYSTEM, process: Path = _PROCESS) -> int:
    """Return the number of fast physical cores that this process may use, at least 1.

    Performance cores of Intel's, ARM's and Apple's mixed CPUs, of those that this process is bound
    to, and no more than the quota of its control groups. `system` and `process` are the kernel's
    folders of Linux; on other systems the native library counts.
    """
    if not hasattr(os, "sched_getaffinity"):
        return library_cores() or _likely_cores()
    usable = os.sched_getaffinity(0)
    cpus = system / "devices" / "system" / "cpu"
    cores = {_siblings(cpus / f"cpu{cpu}", cpu) for cpu in _fast_of(usable, system, cpus)}
    # Downwards: threads that use up a quota before its period ends are all stopped until then.
    return max(1, int(min(len(cores), quota(system, process))))


def usable_cpus(system: Path = _SYSTEM, process: Path = _PROCESS) -> int:
    """Return how many CPUs this process may keep busy, for work that waits for no slowest one.

    Efficient cores and second threads of cores count too; the quota holds as well.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return max(1, int(min(len(os.sched_getaffinity(0)), quota(system, process))))


def _likely_cores() -> int:
    """Return half of the logical CPUs, where nothing tells them apart.

    About half of them are second threads of cores on x86, and efficient cores on Apple's CPUs: too
    few threads lose less than one that all others wait for.
    """
    return max(1, (os.cpu_count() or 1) // 2)


def _siblings(cpu: Path, number: int) -> str:
    """Return what names a core: its threads."""
    return text(cpu / "topology" / "thread_siblings_list") or str(number)


def _fast_of(usable: set[int], system: Path, cpus: Path) -> set[int]:
    fast = usable & _numbers(text(system / "devices" / "cpu_core" / "cpus"))
    if fast:
        return fast
    capacities = {cpu: text(cpus / f"cpu{cpu}" / "cpu_capacity") for cpu in usable}
    numbers = {cpu: int(number) for cpu, number in capacities.items() if number.isdecimal()}
    if len(numbers) < len(usable):
        return usable
    return {cpu for cpu, capacity in numbers.items() if capacity >= _FAST * max(numbers.values())}


def _numbers(ranges: str) -> set[int]:
    """Return the numbers in a list such as 0-3,8."""
    numbers: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers
