"""What a process gives up about itself: resources, and its standard streams."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

# Name of our limit: what the system calls it. Both the soft and the hard limit are set, and no
# process here may raise a hard one.
RESOURCES = {
    "cpu_s": "RLIMIT_CPU",
    "memory_bytes": "RLIMIT_AS",
    "file_bytes": "RLIMIT_FSIZE",
    "open_files": "RLIMIT_NOFILE",
    "processes": "RLIMIT_NPROC",  # root is exempt from it; the system call filter is for all
    "core_bytes": "RLIMIT_CORE",
}


def limit(limits: Mapping[str, int]) -> None:
    """Lower this process's limits, and those of all it may start."""
    for name, value in limits.items():
        number = getattr(resource, RESOURCES[name])
        hard = resource.getrlimit(number)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (bound, bound))


def take_over(*streams: int) -> list[int]:
    """Return copies of these standard streams, and leave nothing behind the three themselves."""
    copies = [os.dup(stream) for stream in streams]
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)
    return copies
