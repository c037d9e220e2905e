"""What this CPU can do, of all that matters for products of small integers."""

from __future__ import annotations

import os
import platform
from collections.abc import Set
from functools import cache
from pathlib import Path

from .from_library import library_cpu

_INFO = Path("/proc/cpuinfo")
_FEATURES = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip


@cache
def cpu_name_and_features(info: Path = _INFO) -> tuple[str, tuple[str, ...]]:
    """Return the CPU's name, and its features of those listed above; none on some systems.

    `info` is Linux's file; where there is none, the native library asks the CPU.
    """
    name, flags = _of_linux(info) if info.is_file() else library_cpu()
    if not name:
        # Of Linux, `platform.processor` would start a process to ask.
        name = platform.machine() if info.is_file() else platform.processor() or platform.machine()
    return name, tuple(feature for feature in _FEATURES if feature in flags)


def cpu_summary() -> str:
    """Return the CPU's name, cores and features in one line."""
    name, features = cpu_name_and_features()
    listed = ", ".join(features) or "features unknown on this system"
    return f"{name}, {os.cpu_count()} logical cores, {listed}"


def _of_linux(info: Path) -> tuple[str, Set[str]]:
    name, flags = "", set[str]()
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            flags.update(value.split())
        elif key.strip() == "model name":
            name = value.strip()
    return name, flags
