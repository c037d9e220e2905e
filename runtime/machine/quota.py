"""How much of the CPUs' time the control groups of this process allow it.

Linux tells it in two layouts, and a machine may have both mounted. A group can have no more than
any group that it lies in, so all of them are asked, up to the root that is seen from here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MOUNTS = Path("fs") / "cgroup"
_VERSION_2 = ("", "unified")  # beside version 1 it is mounted a folder deeper
_VERSION_1 = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def quota(system: Path, process: Path) -> float:
    """Return how many cores' time this process has; infinity where it has all.

    `system` is where /sys is, and `process` where /proc/self is.
    """
    limits = [_version_2(folder) for folder in group_folders(system, process, "", _VERSION_2)]
    limits += [_version_1(folder) for folder in group_folders(system, process, "cpu", _VERSION_1)]
    return min(limits, default=math.inf)


def group_folders(
    system: Path, process: Path, controller: str, mounts: tuple[str, ...]
) -> Iterator[Path]:
    """Yield the folders of the process's group of a controller, and of all that it lies in.

    Version 2's groups have no controller of their own: "". Some folders may not be there.
    """
    path = _groups(text(process / "cgroup")).get(controller, "/")
    yield from _folders(system, mounts, path)


def text(file: Path) -> str:
    """Return what a file of the kernel says; "" where there is none."""
    try:
        return os.fsdecode(file.read_bytes()).strip()
    except OSError:  # other kernels have other files
        return ""


def _groups(lines: str) -> dict[str, str]:
    """Return the process's group by controller; version 2's has none.

    A line is such as `4:cpu,cpuacct:/a/b`, or `0::/a/b`.
    """
    groups: dict[str, str] = {}
    for line in lines.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _folders(system: Path, mounts: tuple[str, ...], path: str) -> Iterator[Path]:
    """Yield the folders of a group and of all that it lies in, wherever they may be mounted.

    A container may see its own group as the root, while the path is still the host's, and a path
    that begins with `/..` lies outside of what is seen: of these only the root is there.
    """
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    if ".." in parts:
        parts = []
    for mount in mounts:
        for depth in range(len(parts) + 1):
            yield (system / _MOUNTS / mount).joinpath(*parts[:depth])


def _version_2(folder: Path) -> float:
    limit, _, period = text(folder / "cpu.max").partition(" ")
    return _cores(limit, period)


def _version_1(folder: Path) -> float:
    return _cores(text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us"))


def _cores(limit: str, period: str) -> float:
    """Return a limit in cores; infinity for `max`, -1, and whatever else is no number."""
    if not (limit.isdecimal() and period.isdecimal() and int(period)):
        return math.inf
    return int(limit) / int(period)
