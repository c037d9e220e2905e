"""Builds a wheel for each system: the same Python files, and a library of the target's own.

python -m release.wheels dist/all
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from calendar import timegm
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipInfo

from wheel.wheelfile import WheelFile

from .targets import TARGETS, Target
from .zig import ROOT, CompileError, compile_library

AT_ONCE = 2  # compilers that run side by side
NATIVE = "refact_edge/runtime/backends/native"
LIBRARY_MODE = 0o100755 << 16


def build_wheels(out: Path, root: Path = ROOT, targets: tuple[Target, ...] = TARGETS) -> list[Path]:
    """Build the wheels of `targets` from the checkout at `root` into `out` and return their paths.

    Raises:
        CompileError: when the kernels do not compile for a target.

    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        pure = build_pure(Path(folder), root)
        date_record(pure)
        return list(pool.map(partial(_build, pure=pure, out=out, root=root), targets))


def build_pure(folder: Path, root: Path) -> Path:
    """Build the wheel without a library into `folder`, by pip and setuptools."""
    constraints = str(root / "constraints-build.txt")
    environment = os.environ | {
        "REFACT_EDGE_KERNELS": "none",
        "PIP_CONSTRAINT": constraints,
        "PIP_BUILD_CONSTRAINT": constraints,
    }
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(root)]
    subprocess.run(command, env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _build(target: Target, pure: Path, out: Path, root: Path) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        library = compile_library(target, Path(folder), root)
        return add_library(pure, library, target, out)


def add_library(pure: Path, library: Path, target: Target, out: Path) -> Path:
    """Write the wheel of `target` into `out`: all files of `pure`, and the library.

    Dates and modes are those of `pure`, so that the same files give the same wheel.
    """
    path = out / pure.name.replace("-any.whl", f"-{target.platform}.whl")
    with WheelFile(pure) as source, WheelFile(path, "w", ZIP_DEFLATED) as wheel:
        about = f"{source.dist_info_path}/WHEEL"
        entry = ZipInfo(f"{NATIVE}/{library.name}", date_time=source.getinfo(about).date_time)
        entry.compress_type, entry.external_attr = ZIP_DEFLATED, LIBRARY_MODE
        wheel.writestr(entry, library.read_bytes())
        for other in source.infolist():
            content = source.read(other)
            if other.filename == about:
                content = _tagged(content.decode(), target).encode()
            if other.filename != source.record_path:  # which is written anew on closing
                wheel.writestr(other, content)
    return path


def _tagged(about: str, target: Target) -> str:
    """Return the file WHEEL of a pure wheel as it is for `target`."""
    tags = "".join(f"Tag: py3-none-{platform}\n" for platform in target.platform.split("."))
    about = about.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false")
    return about.replace("Tag: py3-none-any\n", tags)


def date_record(pure: Path) -> None:
    """Have the files RECORD dated as all others: `wheel` takes the time of the build by itself."""
    with WheelFile(pure) as source:
        date = source.getinfo(source.record_path).date_time
    os.environ["SOURCE_DATE_EPOCH"] = str(timegm((*date, 0, 0, 0)))


def main() -> None:
    """Build all wheels into the folder that is named, and print their names."""
    try:
        wheels = build_wheels(Path(sys.argv[1]))
    except CompileError as error:
        sys.exit(str(error))
    print("\n".join(wheel.name for wheel in wheels))


if __name__ == "__main__":
    main()
