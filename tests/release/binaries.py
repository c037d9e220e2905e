"""What a library says of itself, and what of that is wrong for its target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lief

from .signature import why_not_signed
from .targets import MACOS, Target

EXPORTS = {
    "edge_cached", "edge_close", "edge_constant", "edge_cpu", "edge_cpu_features", "edge_cpu_name",
    "edge_fast_cores", "edge_field", "edge_flush_denormals", "edge_open", "edge_product",
    "edge_step",
}  # fmt: skip
UNSIGNED = "it is not signed"
# Zig's linker offers these two of its own in every library for macOS.
_OF_THE_LINKER = {"_mh_dylib_header", "__dso_handle"}
MACHINES = {"x86_64": {"X86_64", "AMD64"}, "aarch64": {"AARCH64", "ARM64"}}  # lief's names


@dataclass(frozen=True)
class Binary:
    """A library, whatever its format.

    Args:
        format: ELF, PE or MACHO.
        machine: as lief names it.
        imports: names of the libraries it needs.
        exports: names of the functions it offers.
        oldest: the version of glibc or macOS that it needs; empty where it says none.
        problem: what is wrong with its signature; empty where it needs none.

    """

    format: str
    machine: str
    imports: frozenset[str]
    exports: frozenset[str]
    oldest: tuple[int, ...] = ()
    problem: str = ""


def read_binary(content: bytes) -> Binary:
    """Read a library of any format.

    Raises:
        ValueError: when it is none that lief knows.

    """
    lief.logging.disable()  # which would print of what it skips
    parsed = lief.parse(content)
    if isinstance(parsed, lief.ELF.Binary):
        return _read_elf(parsed)
    if isinstance(parsed, lief.PE.Binary):
        return _read_pe(parsed)
    if isinstance(parsed, lief.MachO.Binary):
        return _read_macho(parsed, content)
    raise ValueError("no ELF, PE or Mach-O library; build it again")


def _read_elf(binary: Any) -> Binary:
    versions = [
        tuple(map(int, version.name.removeprefix("GLIBC_").split(".")))
        for library in binary.symbols_version_requirement
        for version in library.get_auxiliary_symbols()
        if re.fullmatch(r"GLIBC_[0-9.]+", version.name)
    ]
    exports = frozenset(str(symbol.name) for symbol in binary.exported_symbols)
    machine = binary.header.machine_type.name
    return Binary("ELF", machine, frozenset(binary.libraries), exports, max(versions, default=()))


def _read_pe(binary: Any) -> Binary:
    exports = frozenset(str(function.name) for function in binary.exported_functions)
    return Binary("PE", binary.header.machine.name, frozenset(binary.libraries), exports)


def _read_macho(binary: Any, content: bytes) -> Binary:
    own = lief.MachO.LoadCommand.TYPE.ID_DYLIB
    imports = frozenset(library.name for library in binary.libraries if library.command != own)
    names = {str(symbol.name).removeprefix("_") for symbol in binary.exported_symbols}
    oldest = binary.build_version.minos if binary.has_build_version else binary.version_min.version
    problem = UNSIGNED
    if binary.has_code_signature:
        problem = why_not_signed(content, binary.code_signature.data_offset)
    machine = binary.header.cpu_type.name
    exports = frozenset(names - _OF_THE_LINKER)
    return Binary("MACHO", machine, imports, exports, tuple(oldest[:2]), problem)


def problems_of(binary: Binary, target: Target) -> Iterator[str]:
    """Yield what is wrong with a library for `target`, a line each."""
    system = target.system
    if binary.format != system.format:
        yield f"it is {binary.format}, expected {system.format}"
    if binary.machine not in MACHINES[target.machine]:
        yield f"it is for {binary.machine}, expected {target.machine}"
    if others := [name for name in binary.imports if not name.lower().startswith(system.imports)]:
        yield f"it needs {', '.join(sorted(others))}, expected only {', '.join(system.imports)}"
    if odd := sorted(binary.exports ^ EXPORTS):
        yield f"it exports or lacks {', '.join(odd)}; expected {', '.join(sorted(EXPORTS))}"
    if target.oldest and binary.oldest > target.oldest:
        needs, most = (".".join(map(str, version)) for version in (binary.oldest, target.oldest))
        yield f"it needs version {needs} of the system, expected {most} at most"
    # Intel Macs load unsigned libraries, and Zig signs none for them.
    needless = binary.problem == UNSIGNED and target.machine == "x86_64"
    if system == MACOS and binary.problem and not needless:
        yield binary.problem
