"""How much memory a process takes, where the system tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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


def memory_now(process: Path = _PROCESS) -> Memory:
    """Return the memory of a process, by its folder in /proc; of this one by default.

    The peak that getrusage reports would count the parent's memory too, from before the exec.
    """
    rollup, status = _kib(process / "smaps_rollup"), _kib(process / "status")
    resident, own, peak = rollup.get("Rss"), rollup.get("Anonymous"), status.get("VmHWM")
    return Memory(
        anonymous_bytes=None if own is None else own * _KIB,
        mapped_bytes=None if own is None or resident is None else (resident - own) * _KIB,
        peak_bytes=None if peak is None else peak * _KIB,
    )


def _kib(file: Path) -> dict[str, int]:
    """Return the fields of a file of proc that are counted in kB."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {parts[0].rstrip(":"): int(parts[1]) for parts in fields if len(parts) == 3}
