"""How much memory a process takes, where the system tells."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource

_PROCESS = Path("/proc/self")
_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Resident bytes: its own, those of mapped files, and the most there ever were.

    None is what this system does not tell.
    """

    anonymous_bytes: int | None
    mapped_bytes: int | None
    peak_bytes: int | None


class _Counters(ctypes.Structure):
    """Windows' PROCESS_MEMORY_COUNTERS."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 7),
    )


def memory_now(process: Path = _PROCESS) -> Memory:
    """Return the memory of a process, by its folder in /proc; of this one by default.

    Windows and macOS tell the peak of this one alone.
    """
    if sys.platform == "win32":
        return Memory(None, None, _peak_of_windows())
    if sys.platform == "darwin":  # in bytes there
        return Memory(None, None, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    # The peak that Linux' getrusage reports would count the parent's memory from before the exec.
    rollup, status = _kib(process / "smaps_rollup"), _kib(process / "status")
    resident, own, peak = rollup.get("Rss"), rollup.get("Anonymous"), status.get("VmHWM")
    return Memory(
        anonymous_bytes=None if own is None else own * _KIB,
        mapped_bytes=None if own is None or resident is None else (resident - own) * _KIB,
        peak_bytes=None if peak is None else peak * _KIB,
    )


def _peak_of_windows() -> int | None:
    kernel = ctypes.CDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    this = ctypes.c_void_p(kernel.GetCurrentProcess())
    counters = _Counters(size=ctypes.sizeof(_Counters))
    if not kernel.K32GetProcessMemoryInfo(this, ctypes.byref(counters), counters.size):
        return None
    return int(counters.peak_working_set)


def _kib(file: Path) -> dict[str, int]:
    """Return the fields of a file of proc that are counted in kB."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {parts[0].rstrip(":"): int(parts[1]) for parts in fields if len(parts) == 3}
