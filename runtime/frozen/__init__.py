"""What PyInstaller needs to know of this package; it finds that by an entry point."""

from __future__ import annotations

from pathlib import Path


def hook_directories() -> list[str]:
    """Return the folder with the hook."""
    return [str(Path(__file__).parent)]
