"""How much memory this process can still have, in bytes.

Linux counts what it could take back from files as available; the limits of control groups, of which
a machine may have two layouts, hold as well. A mapped file of weights is such a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .quota import group_folders, text

_SYSTEM, _PROCESS, _MEMINFO = Path("/sys"), Path("/proc/self"), Path("/proc/meminfo")
_UNLIMITED = 1 << 60  # version 1 has no word for it, but a number that no machine reaches


def available_memory(
    system: Path = _SYSTEM, process: Path = _PROCESS, meminfo: Path = _MEMINFO
) -> int | None:
    """Return the bytes that are available, or all there are where no more is known; None at worst.

    The paths are the kernel's of Linux.
    """
    rest = list(_limits(system, process))
    machine = _meminfo(text(meminfo))
    if machine is None:
        machine = _all_memory()
    return min([*rest, machine] if machine is not None else rest, default=None)


def _meminfo(lines: str) -> int | None:
    for line in lines.splitlines():
        name, _, rest = line.partition(":")
        number = rest.removesuffix("kB").strip()
        if name == "MemAvailable" and number.isdecimal():
            return 1024 * int(number)
    return None


def _all_memory() -> int | None:
    """Return the bytes of this machine's memory, where its system says so."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no such function
        return None


def _limits(system: Path, process: Path) -> Iterator[int]:
    """Yield what each limit leaves: pages of files are given back when memory is short."""
    for folder in group_folders(system, process, "", ("", "unified")):
        yield from _left(folder, "memory.max", "memory.current", ("active_file", "inactive_file"))
    for folder in group_folders(system, process, "memory", ("memory",)):
        names = ("total_active_file", "total_inactive_file")
        yield from _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", names)


def _left(folder: Path, limit: str, usage: str, files: tuple[str, ...]) -> Iterator[int]:
    numbers = [text(folder / name) for name in (limit, usage)]
    if not all(number.isdecimal() for number in numbers):  # no group, or max
        return
    most, used = map(int, numbers)
    statistics = dict(line.split()[:2] for line in text(folder / "memory.stat").splitlines())
    pages = sum(int(statistics.get(name, 0)) for name in files)
    if most < _UNLIMITED:
        yield max(0, most - max(0, used - pages))
