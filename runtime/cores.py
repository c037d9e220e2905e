"""How many threads compute: one a fast core that this process may use.

A step waits for its slowest thread, so slower cores beside fast ones, second threads of a core and
more threads than a container may run all cost more than they give.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_SYSTEM = Path("/sys")
_FAST = 0.75  # of the largest capacity; the efficient cores of a phone's or laptop's ARM are slower


def fast_cores(system: Path = _SYSTEM) -> int:
    """Return the number of fast physical cores; 0 where it is not known, which is not Linux.

    Performance cores of Intel's and ARM's mixed CPUs, of those that this process is bound to, and
    no more than the quota of its control group.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 0
    usable = os.sched_getaffinity(0)
    cpus = system / "devices" / "system" / "cpu"
    cores = {_siblings(cpus / f"cpu{cpu}", cpu) for cpu in _fast_of(usable, system, cpus)}
    return int(max(1, min(len(cores), _quota(system))))


def _siblings(cpu: Path, number: int) -> str:
    """Return what names a core: its threads."""
    return _text(cpu / "topology" / "thread_siblings_list") or str(number)


def _fast_of(usable: set[int], system: Path, cpus: Path) -> set[int]:
    fast = usable & _numbers(_text(system / "devices" / "cpu_core" / "cpus"))
    if fast:
        return fast
    capacities = {cpu: _text(cpus / f"cpu{cpu}" / "cpu_capacity") for cpu in usable}
    known = {cpu: int(found) for cpu, found in capacities.items() if found.isdigit()}
    if len(known) < len(usable):
        return usable
    return {cpu for cpu, capacity in known.items() if capacity >= _FAST * max(known.values())}


def _quota(system: Path) -> float:
    """Return how many cores' time the control group has; infinity where it has all."""
    limit, _, period = _text(system / "fs" / "cgroup" / "cpu.max").partition(" ")
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return math.inf
    return math.ceil(int(limit) / int(period))


def _numbers(ranges: str) -> set[int]:
    """Return the numbers in a list such as 0-3,8."""
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # other kernels have other files
        return ""
