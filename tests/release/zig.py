"""Compiles the kernels for another system by Zig's C compiler."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .targets import Target

ROOT = Path(__file__).parents[2]
KERNELS = Path("runtime/backends/native")
# As in setup.py. Without symbols and debugging information, which name folders.
FLAGS = (
    "-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-fvisibility=hidden", "-g0", "-s",
)  # fmt: skip


class CompileError(Exception):
    """Zig could not compile something; says what, for which target, and Zig's words."""


def compile_library(target: Target, folder: Path, root: Path = ROOT) -> Path:
    """Compile the kernels of the checkout at `root` into a library in `folder`.

    Raises:
        CompileError: when they do not compile.

    """
    library = folder / f"_edge{target.system.library_suffix}"
    _compile(target, library, root, ("-shared", "-fPIC", *target.system.naming, *_kernels(root)))
    return library


def compile_test(target: Target, name: str, folder: Path, root: Path = ROOT) -> Path:
    """Compile a C test of the kernels, with the kernels in it, into a program in `folder`.

    Raises:
        CompileError: when it does not compile.

    """
    source = f"tests/{KERNELS.as_posix()}/{name}.c"
    return _program(
        target, folder / name, root, (f"-I{KERNELS.as_posix()}", *_kernels(root), source)
    )


def compile_loader(target: Target, folder: Path, root: Path = ROOT) -> Path:
    """Compile the program that opens a library and prints what it can compute as.

    Raises:
        CompileError: when it does not compile.

    """
    # Zig links musl's programs statically by default, and those cannot open a library.
    dynamic = ("-dynamic",) if "musl" in target.zig else ()
    return _program(target, folder / "open", root, (*dynamic, "tests/release/open.c"))


def _program(target: Target, path: Path, root: Path, arguments: Sequence[str]) -> Path:
    program = path.with_name(path.name + target.system.program_suffix)
    _compile(target, program, root, arguments)
    return program


def _kernels(root: Path) -> list[str]:
    """Return the sources by paths from `root`: no folder above it is to reach the library."""
    return sorted(file.relative_to(root).as_posix() for file in (root / KERNELS).rglob("*.c"))


def _compile(target: Target, out: Path, root: Path, arguments: Sequence[str]) -> None:
    """Run the compiler in `root`, and keep only `out` of what it writes beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / out.name
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target.zig, *FLAGS]
        command += ["-o", str(made), *arguments, *target.system.linked]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompileError(f"{out.name} does not compile for {target.zig}:\n{done.stderr}")
        made.chmod(0o755)
        out.write_bytes(made.read_bytes())
        out.chmod(0o755)
