"""Two names that change places in one step: each stands for something whole at every moment."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
_SWAP = 2  # RENAME_SWAP of macOS


def exchange(one: Path, other: Path) -> bool:
    """Let two paths on one disk change places; False, with nothing changed, where that fails.

    It fails on other systems, on disks that cannot do it, and where renaming would fail too, which
    then says why.
    """
    if sys.platform not in ("linux", "darwin"):
        return False
    library, paths = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(other))
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        return bool(library.renameat2(_HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return bool(library.renamex_np(*paths, _SWAP) == 0)
    return False
