"""The x86 kernels on an emulated CPU that has them all: whether they are right, on any machine.

Usage: python tests/runtime/backends/native/emulated FOLDER [KIND ...]
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from debian import CannotEmulate, unpack
from machine import run
from report import parse, rows, table

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[4] / "runtime" / "backends" / "native"
FLAGS = ["-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
PROGRAMS = {
    "fifo": HERE / "fifo.c",
    "kinds": HERE / "kinds.c",
    **{name: HERE.parent / f"{name}.c" for name in ("products", "steps", "bits")},
}
MODEL = "sapphire_rapids"  # the only one with AMX, and it has all the others
KINDS = ("amx", "avx512vnni", "avxvnni", "avx2")
LIMIT_S = 1800


def build(folder: Path) -> None:
    """Compile the test programs into `folder`/bin, so that they need no file besides.

    Raises:
        CannotEmulate: without a compiler for x86-64.

    """
    compiler = shutil.which("gcc")
    if compiler is None or platform.machine() != "x86_64":
        raise CannotEmulate("no GCC for x86-64: install gcc on such a machine")
    for name in ("bin", "objects"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    gcc: list[str | Path] = [compiler, *FLAGS, f"-I{SOURCES}"]
    kernels = sorted(SOURCES.rglob("*.c"))
    objects_folder = folder / "objects"
    subprocess.run([*gcc, "-c", *kernels], cwd=objects_folder, check=True)
    # Bochs multiplies tiles wrongly: C does it for AMX.
    amx: list[str | Path] = ["-include", HERE / "tiles.h", "-c", SOURCES / "kernels" / "cpu_amx.c"]
    subprocess.run([*gcc, *amx], cwd=objects_folder, check=True)
    objects = [objects_folder / f"{source.stem}.o" for source in kernels]
    for name, source in PROGRAMS.items():
        program: list[str | Path] = ["-static", "-s", "-o", folder / "bin" / name, source, *objects]
        subprocess.run([*gcc, *program, "-lm", "-lpthread"], check=True)


def runs(kinds: list[str]) -> list[str]:
    """Return the command lines that the emulated machine is to run."""
    each = ("steps {} 1 4", "bits {}", "products {} 1 60")
    return ["kinds", *(line.format(kind) for kind in kinds for line in each)]


def expected_bits(folder: Path, emulated: str) -> tuple[str, str]:
    """Return what `bits` prints for this CPU's own AVX2, or `emulated`; and which it is."""
    done = subprocess.run(
        [folder / "bin/bits", "avx2"], capture_output=True, text=True, check=False
    )
    return (done.stdout, "own") if done.returncode == 0 else (emulated, "emulated")


def main() -> int:
    """Print the table; return 1 if a kernel was wrong."""
    folder, kinds = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(KINDS)
    start = time.monotonic()
    try:
        build(folder)
        root = unpack(folder)
    except CannotEmulate as reason:
        print(f"skipped: {reason}")
        return 0
    print(f"booting {MODEL} in Bochs; follow it in {folder}/serial.txt", flush=True)
    serial = run(root, folder, MODEL, runs(kinds), LIMIT_S)
    results = parse(serial)
    if not results:
        print(f"{MODEL} ran nothing: see bochs.log and serial.txt in {folder}")
        return 1
    avx2 = results.get(("bits", "avx2"))
    expected, whose = expected_bits(folder, avx2.output if avx2 else "")
    lines = list(rows(results, kinds, expected))
    print(
        f"{table(lines)}\nbits beside the {whose} AVX2's; {time.monotonic() - start:.0f} s in all"
    )
    for row in lines:
        print("".join(f"{fault}\n" for fault in row.faults), end="")
    return int(any(row.faults for row in lines))


if __name__ == "__main__":
    sys.exit(main())
