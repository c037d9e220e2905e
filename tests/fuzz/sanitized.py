"""The native kernels, built for AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "runtime" / "backends" / "native"
LIBRARY = "FUZZ_SANITIZED_KERNELS"  # names the library to a server
_FLAGS = (
    "-O1", "-g", "-std=c11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
    "-ffp-contract=fast", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)  # fmt: skip
_OPTIONS = (
    "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16:alloc_dealloc_mismatch=0:"
    "detect_stack_use_after_return=0"
)


def build(folder: Path) -> dict[str, str]:
    """Build the kernels, where they are not, and return a server's environment.

    It is empty where there is no GCC, or none with sanitizers.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        return {}
    sources = sorted(SOURCES.rglob("*.c"))
    newest = max(file.stat().st_mtime for file in SOURCES.rglob("*.[ch]"))
    target = folder / "_edge_sanitized.so"
    if not target.exists() or target.stat().st_mtime < newest:
        draft = folder / f".{target.name}.partial-{os.getpid()}"
        files = ("-o", str(draft), *map(str, sources))
        command = [compiler, *_FLAGS, f"-I{SOURCES}", *files, "-lm", "-lpthread"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return {}
        draft.replace(target)
    # The sanitizer looks for C++'s exceptions when it starts, before anything else brings them.
    runtime = [_path_of(compiler, name) for name in ("libasan.so", "libstdc++.so.6")]
    return {
        LIBRARY: str(target.resolve()),
        "LD_PRELOAD": " ".join(runtime),
        "ASAN_OPTIONS": _OPTIONS,
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _path_of(compiler: str, name: str) -> str:
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
