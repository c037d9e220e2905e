"""One round of `bench throughput`, in a process of its own.

Usage: python -m refact_edge.runtime.bench.worker BUNDLE VARIANT THREADS LONGEST ENGINE

A fresh process is what a cold start is, and its memory is the model's alone. Writes one JSON object
a line to standard output: first "ready", then "advance" as the work goes on, and at last "round";
or "error", which its user can mend.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

from ..errors import RefactEdgeError, RefactEdgeWarning

PROMPT = ("def add(a, b):\n    return ", "\n")


def main(bundle: str, variant: str, threads: str, longest: str, engine: str) -> None:
    """Load a bundle, write one token, and only then measure the rest."""
    # Counted as part of the start: what else is imported, files checked, the graph opened.
    from ..engine.sampling import Sampling
    from ..opening.load import load

    model = load(Path(bundle), variant=variant, device="cpu", threads=int(threads), engine=engine)
    greedy = Sampling(temperature=0)
    "".join(model.complete(*PROMPT, max_tokens=1, stop=(), allow_empty=False, sampling=greedy))
    _tell("ready", True)

    from .bandwidth import read_bandwidth
    from .memory import memory_now
    from .passes import run_pass, workload_for

    workload = workload_for(model.context_tokens, int(longest))
    times = run_pass(model.session, workload, lambda tokens: _tell("advance", tokens))
    memory = memory_now()
    _tell(
        "round",
        {
            "engine": model.engine,
            "prefill_ms": list(times.prefill_ms.items()),
            "decode_ms": list(times.decode_ms.items()),
            "memory": asdict(memory),
            "read_bandwidth_bytes_per_s": read_bandwidth(int(threads)),
        },
    )


def _tell(kind: str, content: object) -> None:
    sys.stdout.write(json.dumps({kind: content}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore", RefactEdgeWarning)  # not once a round
    try:
        main(*sys.argv[1:])
    except RefactEdgeError as error:
        _tell("error", str(error))
    except BrokenPipeError:  # whoever started it has gone
        os._exit(1)
