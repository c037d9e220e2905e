"""A folder for what is too large for memory, where the same work goes on after it was broken off.

Whatever has a name there is whole. Work that was killed, or broken off by Ctrl-C, leaves the folder
to the next run of the same work; at the end, and when anything else goes wrong, it is removed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..quant.pack import Array
from ..runtime.errors import ExportError
from ..runtime.files.atomic_write import locked
from ..runtime.files.moving import replace

_KEY = "key"
ENDING = ".rounding"


class Scratch:
    """Arrays in a folder, by name."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, unless it is there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        """Whether arrays of that name are there."""
        return self._file(name).exists()

    def save(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Keep arrays under a name, all of them or none."""
        draft = self._folder / "draft.npz"
        # savez takes the names of arrays for its own parameters: "file" would be one.
        np.savez(draft, **{f"={key}": array for key, array in arrays.items()})  # type: ignore[arg-type]
        replace(draft, self._file(name))

    def load(self, name: str) -> dict[str, Array]:
        """Return the arrays of a name."""
        with np.load(self._file(name)) as saved:
            return {key.removeprefix("="): saved[key] for key in saved.files}

    def drop(self, name: str) -> None:
        """Give up the arrays of a name, if there are any."""
        self._file(name).unlink(missing_ok=True)

    def inside(self, name: str) -> Scratch:
        """Return a folder in this one."""
        return Scratch(self._folder / name)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.npz"


def folder_of(target: Path) -> Path:
    """Return where the folder of work for `target` lies."""
    return target.with_name(f"{target.name}{ENDING}")


@contextmanager
def scratch(target: Path, work: Mapping[str, object]) -> Iterator[Scratch]:
    """Yield a folder beside `target` for work of which `work`, as JSON, tells all that matters.

    Raises:
        ExportError: when another process is at work there.

    """
    folder = folder_of(target)
    key = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()
    with locked(target.with_name(f".{folder.name}.lock")) as mine:
        if not mine:
            raise ExportError(
                f"{folder} is in use, by another export to {target}; wait for that, or choose "
                "another folder"
            )
        if not (folder / _KEY).exists() or (folder / _KEY).read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(exist_ok=True)
            (folder / _KEY).write_text(key)
            yield Scratch(folder)
        except KeyboardInterrupt:
            raise  # whoever breaks it off may go on later
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)
