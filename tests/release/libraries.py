"""Whose machine code a library is, whatever its format: other people's wheels, too."""

from __future__ import annotations

import lief

from .binaries import MACHINES
from .targets import Target


def library_problem(name: str, content: bytes, target: Target) -> str:
    """Return what keeps a library from running on a system, or "". One of several CPUs may.

    Raises:
        ValueError: when it is none that lief knows.

    """
    parts = _parts(content)
    if not parts:
        raise ValueError(f"{name}: no ELF, PE or Mach-O library")
    expected = target.system.format
    if any(kind == expected and cpu in MACHINES[target.machine] for kind, cpu in parts):
        return ""
    seen = ", ".join(f"{kind} for {cpu}" for kind, cpu in parts)
    return f"{name}: {seen}; expected {expected} for {target.machine}"


def _parts(content: bytes) -> list[tuple[str, str]]:
    lief.logging.disable()
    if content.startswith((b"\x7fELF", b"MZ")):
        parsed = lief.parse(content)
        if isinstance(parsed, lief.ELF.Binary):
            return [("ELF", parsed.header.machine_type.name)]
        if isinstance(parsed, lief.PE.Binary):
            return [("PE", parsed.header.machine.name)]
        return []
    fat = lief.MachO.parse(content)
    return [("MACHO", binary.header.cpu_type.name) for binary in fat or ()]
