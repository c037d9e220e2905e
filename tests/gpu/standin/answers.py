"""Opens a bundle, reads and goes on, while a file appears that has memory refused: a program."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np

import refact_edge

READ, FURTHER = np.arange(1, 100), np.arange(5, 3000)


def main() -> None:
    """Take a bundle and a device; print what is said, or what computes at the end."""
    bundle, device = sys.argv[1:3]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            last = _last_logits(bundle, device, os.environ.get("NOTHING_FAULT", ""))
        except refact_edge.RefactEdgeError as error:
            sys.stdout.write(f"refused: {error}\n")
            return
    for warning in caught:
        sys.stdout.write(f"warned: {warning.message}\n")
    sys.stdout.write(f"{last}\n")


def _last_logits(bundle: str, device: str, fault: str) -> str:
    model = refact_edge.load(bundle, device=device, hashes=False)
    session = model.session
    cache = session.new_cache()
    session.step(READ, cache)
    if "/" in fault:
        Path(fault).touch()
    got = session.step(FURTHER, cache)
    if session.device == "cuda":
        return "computed on cuda"
    own = refact_edge.load(bundle, variant="int4", device="cpu", hashes=False).session
    other = own.new_cache()
    own.step(READ, other)
    same = np.array_equal(own.step(FURTHER, other), got)
    return f"computed on cpu, {'the same' if same else 'others'} logits"


if __name__ == "__main__":
    main()
