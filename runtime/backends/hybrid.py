"""Two sessions over one KV cache: one reads prompts, the other writes.

On the CPUs measured int8 reads a prompt in 0.3 to 0.65 of int4's time, and int4 writes in half of
int8's (`python -m bench.hybrid`, `make bench-peers`, random weights of the 1.6B shape). Their
graphs have the same inputs, so that either goes on from the rows the other left. Which of them made
a row depends on how the text came in, typed or at once: greedy text is the same either way only as
far as the two variants agree. The same holds where OpenVINO reads for onnxruntime, as the two round
activations each in their own way.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from ..engine.cache import KvCache

# The reader is the faster one from some 16 tokens on; up to 16, a token and guesses, are writing.
READ_TOKENS = 24


class Reader(Protocol):
    """What is needed of the session that reads."""

    @property
    def engine(self) -> str:
        """What computes, in words."""
        ...

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """See `engine.Steps`."""
        ...


class Writer(Reader, Protocol):
    """What is needed of the one that writes."""

    sizes: Sizes

    @property
    def device(self) -> str:
        """What it runs on: cpu or cuda."""
        ...

    def new_cache(self) -> KvCache:
        """Return an empty cache."""
        ...


class Hybrid:
    """Runs long steps on one session and short ones on another; see `engine.Steps`."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self.sizes = writer.sizes
        self._reader, self._writer = reader, writer

    @property
    def device(self) -> str:
        """The device both run on."""
        return self._writer.device

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return f"{self._reader.engine} reads, {self._writer.engine} writes"

    def new_cache(self) -> KvCache:
        """Return an empty cache for one sequence, which both sessions fill."""
        return self._writer.new_cache()

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
        session = self._reader if len(ids) >= READ_TOKENS else self._writer
        return session.step(ids, cache, keep)
