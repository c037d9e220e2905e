"""A PC that Bochs emulates: boots Linux with some programs, runs them, and is off again."""

from __future__ import annotations

import os
import shlex
import shutil
import string
import subprocess
from collections.abc import Iterable
from pathlib import Path

from debian import LIBRARIES, command

HERE = Path(__file__).resolve().parent
BOOT_FLAGS = ("-no-emul-boot", "-boot-load-size", "4", "-boot-info-table")


def run(root: Path, folder: Path, model: str, runs: Iterable[str], limit_s: int) -> str:
    """Return what the serial port received from `runs`, command lines of programs in `folder`/bin.

    A machine that is not off after `limit_s` is killed.
    """
    _make_disc(root, folder, runs)
    template = string.Template((HERE / "bochsrc").read_text())
    settings = folder / "bochsrc"
    settings.write_text(template.substitute(root=root, folder=folder, model=model))
    serial = folder / "serial.txt"
    serial.unlink(missing_ok=True)
    bochs = [*command(root, "usr/bin/bochs-bin"), "-q", "-f", str(settings)]
    environment = os.environ | {
        "BXSHARE": str(root / "usr/share/bochs"),
        "LTDL_LIBRARY_PATH": str(root / LIBRARIES / "bochs/plugins"),
        "TERM": "xterm",
    }
    with (folder / "screen.txt").open("wb") as screen:
        # The screen wants a terminal, which `script` makes; Bochs lets no milder signal end it.
        limited = ["timeout", "--foreground", "--signal=KILL", str(limit_s), *bochs]
        subprocess.run(
            ["script", "--quiet", "--command", shlex.join(limited), "/dev/null"],
            env=environment, stdin=subprocess.DEVNULL, stdout=screen, stderr=screen, check=False,
        )  # fmt: skip
    return serial.read_text(errors="replace").replace("\r", "") if serial.exists() else ""


def _make_disc(root: Path, folder: Path, runs: Iterable[str]) -> None:
    """Write boot.iso: ISOLINUX, the kernel, and a first file system of programs and `init`."""
    disc, files = folder / "disc", folder / "files"
    for name in (disc, files):
        shutil.rmtree(name, ignore_errors=True)
    shutil.copytree(folder / "bin", files / "bin")
    shutil.copy(root / "usr/bin/busybox", files / "bin")
    shutil.copy(HERE / "init", files)
    (files / "init").chmod(0o755)
    (files / "runs").write_text("".join(f"{line}\n" for line in runs))
    disc.mkdir()
    names = "\n".join(str(path.relative_to(files)) for path in sorted(files.rglob("*")))
    with (disc / "initrd").open("wb") as initrd:
        pack = [str(root / "usr/bin/busybox"), "cpio", "-o", "-H", "newc"]
        subprocess.run(
            pack, cwd=files, input=names.encode(), stdout=initrd, stderr=subprocess.PIPE, check=True
        )
    shutil.copy(next(root.glob("usr/lib/modules/*/vmlinuz")), disc / "vmlinuz")
    shutil.copy(root / "usr/lib/ISOLINUX/isolinux.bin", disc)
    shutil.copy(root / "usr/lib/syslinux/modules/bios/ldlinux.c32", disc)
    shutil.copy(HERE / "isolinux.cfg", disc)
    make = [*command(root, "usr/bin/genisoimage"), "-quiet", "-o", str(folder / "boot.iso")]
    boot = ("-b", "isolinux.bin", "-c", "boot.cat", *BOOT_FLAGS)
    subprocess.run([*make, *boot, str(disc)], check=True)
