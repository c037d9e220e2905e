"""What our own engine says, for comparison with other loaders of the same bundle."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import refact_edge
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY

Floats = npt.NDArray[np.float32]
# Where activations are rounded to bytes, a difference in the last digit moves a few of them by a
# whole step, and logits by a little more than kernels differ.
NEAR = {"fp32": 1e-3, "int8": 0.05, "int4": 0.05}


@dataclass(frozen=True)
class Greedy:
    """Greedy tokens of onnxruntime, and by how much each was the first choice."""

    tokens: list[int]
    leads: Floats

    def up_to(self, ends: Collection[int]) -> Greedy:
        """Return them up to the first that ends a text, where loaders stop."""
        place = next((place for place, token in enumerate(self.tokens) if token in ends), None)
        return self if place is None else Greedy(self.tokens[: place + 1], self.leads[: place + 1])

    def assert_same(self, others: list[int], near: float) -> None:
        """See that other tokens are the same, up to the first place that is `near` a tie."""
        assert len(others) == len(self.tokens)
        pairs = zip(self.tokens, others, strict=True)
        same = next((place for place, (mine, other) in enumerate(pairs) if mine != other), None)
        if same is not None:
            assert self.leads[same] < near, f"token {same} is another, and no near tie"
            assert same >= 10, "a near tie so soon that nothing is compared"


def greedy(bundle: Path, variant: str, ids: list[int], count: int) -> Greedy:
    """Return what our engine says after `ids`."""
    session = refact_edge.load(bundle, variant=variant, engine="onnxruntime").session
    request = Request(ids, GREEDY, count, stop_ids=frozenset())
    new = list(Generation(session, PrefixCache(session.new_cache), request))
    logits = session.step(np.array([*ids, *new[:-1]]), session.new_cache(), count)
    best = np.sort(logits, axis=1)[:, -2:]
    return Greedy(new, best[:, 1] - best[:, 0])
