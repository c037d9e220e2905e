"""Builds the native kernels, where there is a C compiler; all else stands in pyproject.toml.

With REFACT_EDGE_KERNELS=none there are none in the wheel, as where there is no compiler: what is in
tests/release/ adds those that it compiles for other systems. The same sources, compiler and
setuptools give the same wheel, byte by byte, wherever and whenever it is built.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

KERNELS = "refact_edge.runtime.backends.native._edge"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")  # as in library.py
FLAGS = [
    "-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-fvisibility=hidden", "-g0",
]  # fmt: skip
# A build id is a hash of all that was linked, names of the compiler's temporary files included.
LINK_FLAGS = ["-Wl,--build-id=none"] if sys.platform == "linux" else []
EARLIEST = 315532800  # 1980, before which no zip file dates anything


class BuildKernels(build_ext):
    """Builds a library that Python loads by its path: no module of any Python's version."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the library's path."""
        return fullname.replace(".", "/") + SUFFIX

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Return none, as it is no module."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """Compile it, or say in one line what is lost."""
        # The library needs nothing of Python's: where this Python lies is not to stand in it.
        linker = self.compiler.linker_so
        self.compiler.linker_so = [part for part in linker if not part.startswith("-Wl,-rpath")]
        try:
            super().build_extension(ext)
        except Exception as error:
            # Whatever a compiler lacks, the package works without its kernels.
            sys.stderr.write(
                f"refact-edge: no native kernels, as they could not be compiled ({error}); int4 "
                "and int8 will run on onnxruntime alone, which reads and writes more slowly\n"
            )


class BuildModules(build_py):
    """Leaves this file out: the package's folder is the checkout's root."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return package, name and path of all modules in a folder."""
        modules = super().find_package_modules(package, package_dir)
        return [module for module in modules if Path(module[2]) != Path("setup.py")]


class Wheel(bdist_wheel):
    """Names a wheel for this system and any Python, or without the library for all systems.

    Its files have the date of the last commit, and modes that no umask changes.
    """

    def run(self) -> None:
        """Build it."""
        os.environ.setdefault("SOURCE_DATE_EPOCH", str(last_commit()))
        super().run()

    def write_wheelfile(self, *arguments: Any, **options: Any) -> None:
        """Write the last of what goes into the wheel."""
        super().write_wheelfile(*arguments, **options)
        for path in Path(self.bdist_dir).rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.suffix == SUFFIX else 0o644)

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, its ABI and the system."""
        built = any(Path(self.bdist_dir).rglob(f"_edge{SUFFIX}"))
        self.root_is_pure = not built
        return "py3", "none", super().get_tag()[2] if built else "any"


def last_commit() -> int:
    """Return the seconds from 1970 to the last commit; a date of long ago where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return EARLIEST
    return int(done.stdout)


def index_page() -> str:
    """Return the README as a package index shows it: links into the checkout become paths."""
    text = Path("README.md").read_text(encoding="utf-8")
    return re.sub(r"\[([^\]]+)\]\((?!https?://)([^)]+)\)", r"\1 (`\2`)", text)


setup(
    long_description=index_page(),
    long_description_content_type="text/markdown",
    # Windows' own compiler has neither GCC's vectors nor its attributes.
    ext_modules=[]
    if sys.platform == "win32" or os.environ.get("REFACT_EDGE_KERNELS") == "none"
    else [
        Extension(
            KERNELS,
            sources=sorted(map(str, Path("runtime/backends/native").rglob("*.c"))),
            depends=["setup.py", *sorted(map(str, Path("runtime/backends/native").rglob("*.h")))],
            extra_compile_args=FLAGS,
            extra_link_args=LINK_FLAGS,
            libraries=["m", "pthread"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "build_py": BuildModules, "bdist_wheel": Wheel},
)
