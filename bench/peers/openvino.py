"""OpenVINO as a worker, reading our own graph; run by the peers' python.

Usage: python -m bench.peers.openvino GRAPH CACHE_DIR GROUP_SIZE THREADS

The graph's inputs and outputs are those of our engine: past keys and values go in as views of one
buffer a tensor, and the new rows come out and are copied behind them. GROUP_SIZE is that of its
dynamic quantization: how many activations share a scale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov

from .worker import serve

CHUNK = 256
CONTEXT = 4096


class OpenVino:
    """One sequence on a compiled graph."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        names = [name for port in compiled.inputs for name in port.names if "past." in name]
        heads, size = (int(compiled.input(names[0]).partial_shape[i].get_length()) for i in (1, 3))
        self._buffers = {n: np.zeros((1, heads, CONTEXT, size), np.float32) for n in names}
        self._keep = ov.Tensor(np.array(1, np.int64))
        self._past = 0

    def feed(self, ids: Sequence[int]) -> None:
        """Evaluate `ids`, a chunk at a time."""
        for at in range(0, len(ids), CHUNK):
            self._step(np.array([ids[at : at + CHUNK]], np.int64))

    def rewind(self, tokens: int) -> None:
        """Use fewer rows of the buffers."""
        self._past = tokens

    def _step(self, rows: np.ndarray[Any, Any]) -> None:
        start, end = self._past, self._past + rows.shape[1]
        self._request.set_tensor("input_ids", ov.Tensor(rows))
        self._request.set_tensor("logits_to_keep", self._keep)
        for name, buffer in self._buffers.items():
            # With one head, the first rows of the buffer lie in a row: nothing is copied.
            self._request.set_tensor(name, ov.Tensor(buffer[:, :, :start], shared_memory=True))
        self._request.infer()
        for name, buffer in self._buffers.items():
            present = self._request.get_tensor(name.replace("past", "present"))
            buffer[:, :, start:end] = present.data
        self._past = end


def main() -> None:
    """Compile the graph, from the cache where it is there, and work."""
    graph, cache, group, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
        "CACHE_DIR": cache,
    }

    def load() -> Callable[[str], OpenVino]:
        compiled = ov.Core().compile_model(graph, "CPU", settings)
        return lambda _slot: OpenVino(compiled)

    serve(load, lambda: {"openvino": ov.__version__.split("-")[0]})


if __name__ == "__main__":
    main()
