"""What this CPU can do, of all that matters for products of small integers."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path

_FEATURES = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip


@cache
def cpu_name_and_features() -> tuple[str, tuple[str, ...]]:
    """Return the CPU's name, and the features that are known here; none on some systems."""
    flags: set[str] = set()
    name = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                flags.update(value.split())
            elif key.strip() == "model name":
                name = value.strip()
    elif sys.platform != "linux":  # where it would start a process to ask
        name = platform.processor() or name
    return name, tuple(feature for feature in _FEATURES if feature in flags)


def cpu_summary() -> str:
    """Return the CPU's name, cores and features in one line."""
    name, features = cpu_name_and_features()
    shown = ", ".join(features) or "features unknown on this system"
    return f"{name}, {os.cpu_count()} logical cores, {shown}"
