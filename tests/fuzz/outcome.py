"""What a job may take, where it may write, and what can become of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ANSWERED, REFUSED = "answered", "refused"
FINE = (ANSWERED, REFUSED)
SLOW, LARGE = "slow", "large"  # faults that end a job
TAIL_LINES = 25


@dataclass(frozen=True)
class Limits:
    """What a job may take.

    Args:
        seconds: from the fork to the end of the process.
        resident_bytes: peak of the process's resident memory.
        address_bytes: its address space; None for sanitized code, which reserves terabytes.
        sanitized: whether a sanitizer handles signals, and says more than Python would.

    """

    seconds: float = 20
    resident_bytes: int = 2**30
    address_bytes: int | None = 2**34
    sanitized: bool = False


@dataclass(frozen=True)
class Place:
    """Where a job works: an empty home, which must stay empty, and folders it may write into."""

    home: Path
    writable: tuple[Path, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    verdict: str  # ANSWERED, REFUSED, or what kind of fault it is
    message: str = ""
    detail: str = ""  # the last lines of a stack
    seconds: float = 0
    peak_mb: int = 0


def shortened(lines: list[str]) -> str:
    """Return lines for a report: no more than are read, and none too long."""
    return "\n".join(line[:300] for line in lines)
