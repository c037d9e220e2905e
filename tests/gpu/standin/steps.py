"""Runs steps of a bundle's variant on a GPU, as this project's engine would: a program."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from standin import mark

from refact_edge.runtime.backends.gpu import GpuSession
from refact_edge.runtime.backends.onnxruntime import SessionOptions
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify_gpu

# onnxruntime refuses a graph of which a node would run on the CPU.
ALL_ON_THE_GPU = {"session.disable_cpu_ep_fallback": "1"}


def main() -> None:
    """Take a bundle, a variant, a form and lengths of steps."""
    bundle, variant, form, *lengths = sys.argv[1:]
    verified = verify_gpu(read_bundle(Path(bundle)), variant, folded=form == "folded", hashes=False)
    session = GpuSession(verified, SessionOptions("cuda", entries=ALL_ON_THE_GPU))
    cache = session.new_cache()
    cache.candidates_suffice = True
    for length in map(int, lengths):
        mark(f"{length} tokens")
        session.step(np.arange(1, length + 1), cache)
    mark("the end")


if __name__ == "__main__":
    main()
