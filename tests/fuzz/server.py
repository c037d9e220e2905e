"""One process that has everything imported, and forks a child for each job.

It reads numbers of mutants, a line each, and writes what became of them, a line of JSON each. It
opens no model itself: threads of an engine would not survive the fork.

Usage: python -m fuzz.server FLAVOUR SEED ORIGINALS WORK
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import numpy as np

from refact_edge.runtime.backends.native import library
from refact_edge.runtime.opening.machine import why_not_native

from .jobs import JOBS, WRITABLE
from .kinds import PLAIN, SANITIZED, TORCH, make, plan
from .outcome import Limits, Place
from .sanitized import LIBRARY
from .watch import watch

HOME, MUTANT = "home", "mutant"
_LISTED = ("export", "merge")  # a checkpoint's refusal lists all that is wrong

_LIMITS = {
    PLAIN: Limits(),
    TORCH: Limits(),
    SANITIZED: Limits(seconds=60, resident_bytes=2**31, address_bytes=None, sanitized=True),
}


def prepare(flavour: str) -> None:
    """Import what jobs need, and compute what is the same for all of them."""
    if flavour == SANITIZED:
        _take_sanitized_kernels(Path(os.environ[LIBRARY]))
    else:
        from refact_edge.runtime.backends.onnxruntime import import_onnxruntime
        from refact_edge.runtime.backends.probe import bytes_multiply_exactly

        bytes_multiply_exactly(import_onnxruntime())
    if flavour == TORCH:
        import torch  # noqa: F401 - so that children need not
    why_not_native()
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("threads before the first fork: a child could wait for them for ever")


def _take_sanitized_kernels(path: Path) -> None:
    """Have the runtime load other kernels, and read weights into memory that ends in a red zone."""
    library.Native.__init__ = partialmethod(library.Native.__init__, path)  # type: ignore[method-assign, assignment]

    def read_whole(file: Path, kind: Any, mode: str = "r") -> Any:
        return np.fromfile(file, kind)

    np.memmap = read_whole  # type: ignore[assignment, misc]


def do(seed: int, number: int, originals: Path, work: Path, flavour: str) -> dict[str, Any]:
    """Make a mutant in `work`, have its jobs done, and return what became of them."""
    mutant, random = plan(seed, number)
    shutil.rmtree(work, ignore_errors=True)
    folder = work / MUTANT
    folder.mkdir(parents=True)
    (work / HOME).mkdir()
    change = make(mutant, random, originals, folder)
    place = Place(work / HOME, tuple(folder / name for name in WRITABLE))
    os.environ["REFACT_EDGE_CACHE"] = str(folder / "copies")
    outcomes = {}
    for job in mutant.jobs:
        if "native" in job and why_not_native():
            continue
        run: Callable[[], None] = partial(JOBS[job], folder)
        outcome = watch(
            run,
            place,
            _LIMITS[flavour],
            listed=job in _LISTED,
            refused=mutant.kind.refused,
        )
        outcomes[job] = asdict(outcome)
    return {
        "number": number,
        "kind": mutant.kind.name,
        "flavour": flavour,
        "change": change,
        "jobs": json.loads(json.dumps(outcomes).replace(str(work), "WORK")),
    }


def main() -> None:
    """Serve until there are no more numbers."""
    flavour, seed, originals, work = sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:5])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed by mistake
    prepare(flavour)
    for line in sys.stdin:
        result = do(seed, int(line), originals.resolve(), work.resolve(), flavour)
        out.write(json.dumps(result) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
