"""The machines on which programs of a target can run here: this one, wine and emulators."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"
ARM_ROOT = "/usr/aarch64-linux-gnu"  # where Debian puts the C library of another CPU
# What must be there: what to install where it is not.
_PACKAGES = {
    "wine": "wine64",
    "qemu-aarch64": "qemu-user",
    ARM_ROOT: "libc6-arm64-cross",
    MUSL_LOADER: "musl",
}
_EVERY_ARM = ("i8mm", "neon", "portable")


@dataclass(frozen=True)
class Machine:
    """What runs the programs of one target.

    Args:
        name: for people.
        target: the target, by the first platform tag of its wheel.
        command: what stands before a program.
        kinds: the ways to compute that it has; empty for those of this machine's CPU.
        lacks: the ways that it has not, though this machine's CPU has.
        needs: commands and files without which nothing runs.
        opens_by: files without which no library can be opened; None where there is no such file.

    """

    name: str
    target: str
    command: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    opens_by: tuple[str, ...] | None = ()

    def why_not(self) -> str:
        """Return why it is not here; nothing when it is."""
        if not self.kinds and os.uname().machine != "x86_64":
            return f"this machine is {os.uname().machine}, expected x86_64"
        return _why_missing(self.needs)

    def why_not_opening(self) -> str:
        """Return why no library can be opened here; nothing when one can."""
        if self.opens_by is None:
            return "no dynamic loader of that system here"
        return _why_missing(self.opens_by)

    def expected_kinds(self, here: list[str]) -> list[str]:
        """Return the ways to compute, the fastest first, where this machine's CPU has `here`."""
        return list(self.kinds) or [kind for kind in here if kind not in self.lacks]


def _why_missing(needs: tuple[str, ...]) -> str:
    missing = [need for need in needs if not (shutil.which(need) or Path(need).exists())]
    packages = " ".join(_PACKAGES[need] for need in missing)
    return f"no {', '.join(missing)}: apt-get install {packages}" if missing else ""


def _arm(cpu: str, target: str, kinds: tuple[str, ...]) -> Machine:
    """Return an emulated ARM machine; musl's programs are static and open no library."""
    gnu = target.startswith("manylinux")
    command = ("qemu-aarch64", *(("-L", ARM_ROOT) if gnu else ()), "-cpu", cpu)
    needs = ("qemu-aarch64", *((ARM_ROOT,) if gnu else ()))
    return Machine(f"qemu {cpu}", target, command, kinds, (), needs, () if gnu else None)


MACHINES = (
    Machine("this machine", "manylinux_2_17_x86_64"),
    Machine("this machine", "musllinux_1_2_x86_64", opens_by=(MUSL_LOADER,)),
    # The kernels ask for AMX by a system call of Linux.
    Machine("wine", "win_amd64", ("wine",), lacks=("amx",), needs=("wine",)),
    _arm("max", "manylinux_2_17_aarch64", _EVERY_ARM),
    _arm("cortex-a72", "manylinux_2_17_aarch64", ("portable",)),
    _arm("max", "musllinux_1_2_aarch64", _EVERY_ARM),
    _arm("cortex-a72", "musllinux_1_2_aarch64", ("portable",)),
)  # fmt: skip
