"""What is wrong with a wheel: its tags, what is in it, and its library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wheel.wheelfile import WheelFile

from .binaries import problems_of, read_binary
from .targets import Target
from .wheels import NATIVE

LIMIT_BYTES = 2 * 2**20  # the demo's bundle is a wheel of its own


def problems_of_wheel(path: Path, target: Target) -> Iterator[str]:
    """Yield what is wrong with the wheel of `target`, a line each."""
    if path.stat().st_size > LIMIT_BYTES:
        yield f"it has {path.stat().st_size} bytes, expected {LIMIT_BYTES} at most"
    with WheelFile(path) as wheel:  # which compares all that is read with RECORD
        contents = {name: wheel.read(name) for name in wheel.namelist()}
        about = contents[f"{wheel.dist_info_path}/WHEEL"].decode().splitlines()
    yield from _problems_of_tags(about, path, target)
    library = f"{NATIVE}/_edge{target.system.library_suffix}"
    if others := [
        name for name in contents if name.startswith(f"{NATIVE}/_edge.") and name != library
    ]:
        yield f"it holds {', '.join(others)} beside {library}"
    if strays := [name for name in contents if name.endswith("/setup.py") or "bundle/" in name]:
        yield f"it holds {', '.join(strays)}, which are not for users"
    if library in contents:
        yield from problems_of(read_binary(contents[library]), target)
    else:
        yield f"it lacks {library}"


def _problems_of_tags(about: list[str], path: Path, target: Target) -> Iterator[str]:
    tags = [line.removeprefix("Tag: ") for line in about if line.startswith("Tag: ")]
    expected = [f"py3-none-{platform}" for platform in target.platform.split(".")]
    if tags != expected or not path.name.endswith(f"-py3-none-{target.platform}.whl"):
        yield f"its tags are {', '.join(tags)}, expected {', '.join(expected)}"
    if "Root-Is-Purelib: false" not in about:
        yield "it says that it holds Python alone; expected Root-Is-Purelib: false"
