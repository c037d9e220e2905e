"""What computes a step, as the engine sees it: a session, whichever program is behind it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from .cache import KvCache


class Session(Protocol):
    """An open model. Several threads may use it, each with a cache of its own."""

    @property
    def sizes(self) -> Sizes:
        """The numbers that the engine needs of the model."""
        ...

    @property
    def device(self) -> str:
        """What it runs on: cpu or cuda."""
        ...

    @property
    def engine(self) -> str:
        """What computes, in words: its name, and its version or kind."""
        ...

    def new_cache(self) -> KvCache:
        """Return an empty cache for one sequence of at most `sizes.context` tokens."""
        ...

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V].

        `cache` then holds T more tokens.

        Raises:
            PromptError: when they outgrow the context.
            ClosedError: when the session is closed.

        """
        ...

    def close(self) -> None:
        """Give back its memory, its threads and the bundle's files; may be called again."""
        ...
