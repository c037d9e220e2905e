"""`refact-edge` as a program of its own, for those who start one by its path."""

from __future__ import annotations

import sys
from pathlib import Path


def program_in(folder: Path) -> Path:
    """Write a program that runs this interpreter's refact-edge."""
    program = folder / "refact-edge"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refact_edge.runtime "$@"\n')
    program.chmod(0o755)
    return program
