"""Builds the native kernels, where there is a C compiler; all else stands in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

KERNELS = "refact_edge.runtime.native._edge"
FLAGS = ["-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-g0"]


class BuildKernels(build_ext):
    """Builds a library that Python loads by its path: no module of any Python's version."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the library's path."""
        return fullname.replace(".", "/") + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Return none, as it is no module."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """Compile it, or say in one line what is lost."""
        try:
            super().build_extension(ext)
        except Exception as error:
            # Whatever a compiler lacks, the package works without its kernels.
            sys.stderr.write(
                f"refact-edge: no native kernels, as they could not be compiled ({error}); int4 "
                "will run on onnxruntime alone, which reads and writes more slowly\n"
            )


class Wheel(bdist_wheel):
    """Names a wheel for this system and any Python, or without the library for all systems."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, its ABI and the system."""
        built = any(Path(self.bdist_dir).rglob("_edge.so"))
        self.root_is_pure = not built
        return "py3", "none", super().get_tag()[2] if built else "any"


setup(
    # Threads are POSIX's, which Windows' own compiler has not.
    ext_modules=[]
    if sys.platform == "win32"
    else [
        Extension(
            KERNELS,
            sources=sorted(map(str, Path("runtime/native").glob("*.c"))),
            depends=sorted(map(str, Path("runtime/native").glob("*.h"))),
            extra_compile_args=FLAGS,
            libraries=["m", "pthread"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel},
)
