"""The kit that this was installed from, where it was: its script leaves a list of its packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from .findings import Finding

MARK = ".refact-edge-kit"  # in the folder of the virtual environment, by install.sh and install.ps1


def kit_findings(folder: Path = Path(sys.prefix)) -> Iterator[Finding]:
    """Yield what has changed since a kit was installed into a folder; nothing, if none was."""
    try:
        lines = (folder / MARK).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    packages = [line.split(" ", 1)[0].partition("==") for line in lines if "==" in line]
    others = [
        f"{name} {_version(name)} (the kit has {version})"
        for name, _, version in packages
        if _version(name) != version
    ]
    problem = f"changed since: {', '.join(others)}; install the kit again" if others else ""
    own = next((version for name, _, version in packages if name == "refact-edge"), "")
    state = f"{own}, {len(packages)} packages".removeprefix(", ")
    yield Finding("kit", state, problem, bearable=True)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "is missing"
