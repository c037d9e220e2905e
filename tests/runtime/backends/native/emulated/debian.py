"""Debian's packages in a folder of their own: nothing of this system's is installed or replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SUITES = "trixie trixie-backports"
# Bochs knows AMX from 3.0 on; the kernel's parameter setcpuid= came with 6.15.
PACKAGES = (
    "bochs", "bochs-term", "bochsbios", "vgabios", "isolinux", "syslinux-common", "genisoimage",
    "busybox-static", "linux-image-cloud-amd64/trixie-backports",
)  # fmt: skip
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class CannotEmulate(Exception):  # noqa: N818, as it is a reason to skip and no fault
    """What this machine lacks, in one line."""


def unpack(folder: Path) -> Path:
    """Return the root with all packages and what they depend on, fetched if it is not there yet.

    Raises:
        CannotEmulate: without apt, a mirror of Debian's or a network.

    """
    root = folder / "root"
    if root.exists():
        return root
    environment = os.environ | {"APT_CONFIG": str(_configure(folder / "apt", mirror()))}
    for arguments in (("update",), ("install", "--download-only", "--yes", *PACKAGES)):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise CannotEmulate(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    partial = folder / "root.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for package in sorted((folder / "apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, partial], check=True)
    return partial.rename(root)


def mirror() -> str:
    """Return the address of the mirror of Debian's that this system uses.

    Raises:
        CannotEmulate: where the system is no Debian.

    """
    if not (shutil.which("apt-get") and KEYRING.exists()):
        raise CannotEmulate(f"no apt-get, or no {KEYRING}: run it on Debian")
    wanted = ("Created-By: Packages", "Origin: Debian", "Label: Debian")
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]
    addresses = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if not addresses:
        raise CannotEmulate("apt names no mirror of Debian's: run apt-get update")
    return addresses[0]


def _configure(folder: Path, address: str) -> Path:
    """Write apt's configuration, for which no package is installed, and return its path."""
    for name in ("lists/partial", "archives/partial", "sources", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources/debian.sources").write_text(
        f"Types: deb\nURIs: {address}\nSuites: {SUITES}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    settings = {
        "Dir::State": folder, "Dir::State::status": folder / "status", "Dir::Cache": folder,
        "Dir::Etc::main": "/dev/null", "Dir::Etc::parts": folder / "empty",
        "Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": folder / "sources",
        "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": folder / "empty",
        "APT::Architecture": "amd64", "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # apt's own user may not come into this folder
    }  # fmt: skip
    path = folder / "apt.conf"
    path.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return path


def command(root: Path, program: str) -> list[str]:
    """Return how a program of the root is run by the root's own C library."""
    return [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / LIBRARIES),
            str(root / program)]  # fmt: skip
