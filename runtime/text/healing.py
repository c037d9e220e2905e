"""Token healing: the last token before the cursor is left out, and generated again.

A word broken off by the cursor is seldom cut where the tokenizer would have cut it, and the model
has seen few such pieces. So the piece is not part of the prompt; what the model generates must
begin with its bytes, and those are cut off the answer.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .tokens import Tokens


class Spellings:
    """Which ids begin with some bytes; special tokens are none of them."""

    def __init__(self, tokens: Tokens, special_ids: Iterable[int]) -> None:
        self._tokens, self._specials = tokens, frozenset(special_ids)

    def prepare(self) -> None:
        """Begin to sort all ids, which takes some tenths of a second, while others compute."""
        _ = self._sorting

    @cached_property
    def _sorting(self) -> Future[list[tuple[bytes, int]]]:
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(self._sort)
        finally:
            pool.shutdown(wait=False)

    @property
    def _sorted(self) -> list[tuple[bytes, int]]:
        return self._sorting.result()

    def _sort(self) -> list[tuple[bytes, int]]:
        ids = (i for i in range(self._tokens.size) if i not in self._specials)
        return sorted((self._tokens.to_bytes(i), i) for i in ids)

    def starting_with(self, start: bytes) -> list[int]:
        """Return the ids whose bytes begin with `start`."""
        spellings = self._sorted
        low = bisect.bisect_left(spellings, (start, -1))
        matches = itertools.takewhile(
            lambda pair: pair[0].startswith(start), itertools.islice(spellings, low, None)
        )
        return [token for _, token in matches]

    def of(self, spelling: bytes) -> list[int]:
        """Return the ids with exactly these bytes."""
        spellings = self._sorted
        low = bisect.bisect_left(spellings, (spelling, -1))
        high = bisect.bisect_left(spellings, (spelling + b"\0", -1))
        return [token for other, token in spellings[low:high] if other == spelling]


class Healing:
    """Which ids a text may begin with, whose first bytes are fixed."""

    def __init__(self, typed: bytes, tokens: Tokens, spellings: Spellings) -> None:
        self.typed = typed
        self._tokens, self._spellings = tokens, spellings

    def allowed(self, new_ids: Sequence[int]) -> npt.NDArray[np.int64] | None:
        """Return the ids that may come next; None when all may, as the bytes are generated."""
        rest = self.typed[sum(len(self._tokens.to_bytes(token)) for token in new_ids) :]
        if not rest:
            return None
        ids = self._spellings.starting_with(rest)
        for size in range(1, len(rest)):
            ids += self._spellings.of(rest[:size])
        return np.array(ids, np.int64)
