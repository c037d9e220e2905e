"""Systems that a kit is made for, as uv resolves for them and as wheels are tagged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ...runtime.errors import OptionError

_PYTHON = re.compile(r"3\.(\d+)")
_OLDEST = 11


@dataclass(frozen=True)
class Target:
    """A system.

    Args:
        name: as users name it.
        platform: as uv does, which then answers the markers of requirements for it.
        tags: of wheels that it takes, beside those without machine code.
        has_onnxruntime: whether there is a wheel of that for it.

    """

    name: str
    platform: str
    tags: tuple[str, ...]
    has_onnxruntime: bool = True


def _manylinux(machine: str) -> tuple[str, ...]:
    return (
        *(f"manylinux_2_{minor}_{machine}" for minor in (28, 27, 17)),
        f"manylinux2014_{machine}",
    )


def _macos(machine: str, newest: int) -> tuple[str, ...]:
    return (*(f"macosx_{major}_0_{machine}" for major in range(newest, 10, -1)),)


_OLD_MACS = tuple(f"macosx_10_{minor}_x86_64" for minor in range(15, 8, -1))
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("linux-x86_64", "x86_64-manylinux_2_28", _manylinux("x86_64")),
        Target("linux-aarch64", "aarch64-manylinux_2_28", _manylinux("aarch64")),
        Target(
            "musl-x86_64",
            "x86_64-unknown-linux-musl",
            ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64"),
            has_onnxruntime=False,
        ),
        Target(
            "musl-aarch64",
            "aarch64-unknown-linux-musl",
            ("musllinux_1_2_aarch64", "musllinux_1_1_aarch64"),
            has_onnxruntime=False,
        ),
        Target("windows-amd64", "x86_64-pc-windows-msvc", ("win_amd64",)),
        Target("windows-arm64", "aarch64-pc-windows-msvc", ("win_arm64",)),
        Target("macos-arm64", "aarch64-apple-darwin", _macos("arm64", 14)),
        Target(
            "macos-x86_64",
            "x86_64-apple-darwin",
            (*_macos("x86_64", 14), *_OLD_MACS),
            has_onnxruntime=False,
        ),
    )
}


def target_of(name: str) -> Target:
    """Return a system by its name.

    Raises:
        OptionError: when there is none of that name; lists them.

    """
    if name not in TARGETS:
        raise OptionError(f"target {name!r}; expected one of: {', '.join(TARGETS)}")
    return TARGETS[name]


def check_python(version: str) -> str:
    """Return a version of Python, such as 3.12.

    Raises:
        OptionError: when it is none that the runtime runs on.

    """
    match = _PYTHON.fullmatch(version)
    if match is None or int(match[1]) < _OLDEST:
        raise OptionError(f"python {version!r}; expected 3.{_OLDEST} or later, such as 3.12")
    return version
