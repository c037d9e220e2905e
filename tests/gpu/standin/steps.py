"""Runs steps of a bundle's variant on a GPU, as this project's engine would: a program."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from standin import mark

from refact_edge.runtime.backends.gpu import GpuSession
from refact_edge.runtime.backends.onnxruntime import SessionOptions, import_onnxruntime
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify_gpu


def _open_without_cpu(graph: Path) -> None:
    """Open a graph where onnxruntime refuses it if one of its nodes would run on the CPU."""
    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    onnxruntime.InferenceSession(str(graph), settings, providers=["CUDAExecutionProvider"])


def main() -> None:
    """Take a bundle, a variant, a form and lengths of steps."""
    bundle, variant, form, *lengths = sys.argv[1:]
    verified = verify_gpu(read_bundle(Path(bundle)), variant, folded=form == "folded", hashes=False)
    _open_without_cpu(verified.graph_file)
    session = GpuSession(verified, SessionOptions("cuda"))
    cache = session.new_cache()
    cache.candidates_suffice = True
    for length in map(int, lengths):
        mark(f"{length} tokens")
        session.step(np.arange(1, length + 1), cache)
    mark("the end")


if __name__ == "__main__":
    main()
