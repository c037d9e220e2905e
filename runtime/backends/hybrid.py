"""Two sessions over one KV cache: one prefills prompts, the other decodes.

With onnxruntime, on the CPUs measured, int8 prefills in 0.3 to 0.65 of int4's time, and int4
decodes in half of int8's (`python -m bench.hybrid`, `make bench-peers`, random weights of the 1.6B
shape); with the native kernels int8 prefills no faster than int4. Their graphs have the same
inputs, so either goes on from the rows that the other left. Whether int8 or int4 evaluated a token
depends on how the text arrived (typed or pasted), so greedy output can differ. The same holds where
OpenVINO prefills for another engine, as the two round activations differently.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from ..engine.cache import KvCache
from ..engine.session import Session

# From about 16 tokens on the prefill session is the faster one; up to 16, a token and its draft,
# are decoding.
PREFILL_TOKENS = 24


class HybridSession:
    """Runs long steps on one session and short ones on another: see `engine.session.Session`."""

    def __init__(self, prefill: Session, decode: Session) -> None:
        """Take two sessions of one model, whose caches have the same layout."""
        self._prefill, self._decode = prefill, decode

    @property
    def sizes(self) -> Sizes:
        """The numbers that the engine needs of the model."""
        return self._decode.sizes

    @property
    def device(self) -> str:
        """The device that both run on."""
        return self._decode.device

    @property
    def engine(self) -> str:
        """What computes, in words."""
        if self._prefill.engine == self._decode.engine:
            return self._decode.engine
        return f"{self._prefill.engine} for prefill, {self._decode.engine} for decode"

    def new_cache(self) -> KvCache:
        """Return an empty cache for one sequence, which both sessions fill."""
        return self._decode.new_cache()

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
        session = self._prefill if len(ids) >= PREFILL_TOKENS else self._decode
        return session.step(ids, cache, keep)

    def close(self) -> None:
        """Close both sessions."""
        self._prefill.close()
        self._decode.close()
