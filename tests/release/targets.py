"""The systems that a wheel is built for: one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """What libraries and programs are on a kind of system.

    Args:
        format: of its binaries, as lief names it.
        library_suffix: what the name of a library ends in.
        program_suffix: what the name of a program ends in.
        imports: prefixes of the libraries that the kernels may need, in lower case.
        linked: what the linker is told to link.
        naming: what it is told beside for a library.

    """

    format: str
    library_suffix: str
    program_suffix: str
    imports: tuple[str, ...]
    linked: tuple[str, ...] = ()
    naming: tuple[str, ...] = ()


_POSIX = ("-lm", "-lpthread")
GNU = System("ELF", ".so", "", ("libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-"), _POSIX)
MUSL = System("ELF", ".so", "", ("libc.so",), _POSIX)
WINDOWS = System("PE", ".dll", ".exe", ("kernel32.dll", "api-ms-win-crt-"))
# By itself a library for macOS is named by the path where it was linked.
_NAME = ("-Wl,-install_name,@rpath/_edge.dylib",)
MACOS = System("MACHO", ".dylib", "", ("/usr/lib/libsystem.b.dylib",), naming=_NAME)


@dataclass(frozen=True)
class Target:
    """A system and a CPU.

    Args:
        platform: the platform tags of its wheel, joined by dots.
        zig: Zig's name for it.
        machine: x86_64 or aarch64.
        system: what holds for all CPUs of that system.
        oldest: the oldest version of glibc or macOS that it runs on; empty for others.

    """

    platform: str
    zig: str
    machine: str
    system: System
    oldest: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The first of its platform tags."""
        return self.platform.split(".")[0]


TARGETS = (
    Target("manylinux_2_17_x86_64.manylinux2014_x86_64", "x86_64-linux-gnu.2.17", "x86_64",
           GNU, (2, 17)),
    Target("manylinux_2_17_aarch64.manylinux2014_aarch64", "aarch64-linux-gnu.2.17", "aarch64",
           GNU, (2, 17)),
    Target("musllinux_1_2_x86_64", "x86_64-linux-musl", "x86_64", MUSL),
    Target("musllinux_1_2_aarch64", "aarch64-linux-musl", "aarch64", MUSL),
    Target("win_amd64", "x86_64-windows-gnu", "x86_64", WINDOWS),
    Target("win_arm64", "aarch64-windows-gnu", "aarch64", WINDOWS),
    Target("macosx_11_0_arm64", "aarch64-macos.11.0", "aarch64", MACOS, (11, 0)),
    Target("macosx_10_15_x86_64", "x86_64-macos.10.15", "x86_64", MACOS, (10, 15)),
)  # fmt: skip
