"""Token healing: the last token before the cursor is taken back and written anew.

A word broken off by the cursor is seldom cut where the tokenizer would have cut it, and the model
has read few such pieces. So the piece is not part of the prompt; what the model writes must begin
with its bytes, and those are not shown again.
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
        known = self._sorted
        low = bisect.bisect_left(known, (start, -1))
        found = itertools.takewhile(
            lambda spelled: spelled[0].startswith(start), itertools.islice(known, low, None)
        )
        return [token for _, token in found]

    def of(self, spelling: bytes) -> list[int]:
        """Return the ids with exactly these bytes."""
        known = self._sorted
        low = bisect.bisect_left(known, (spelling, -1))
        high = bisect.bisect_left(known, (spelling + b"\0", -1))
        return [token for found, token in known[low:high] if found == spelling]


class Healing:
    """What a text may begin with, when its first bytes are given."""

    def __init__(self, typed: bytes, tokens: Tokens, spellings: Spellings) -> None:
        self.typed = typed
        self._tokens, self._spellings = tokens, spellings

    def allowed(self, new_ids: Sequence[int]) -> npt.NDArray[np.int64] | None:
        """Return the ids that may come next; None when all may, as the bytes are written."""
        rest = self.typed[sum(len(self._tokens.to_bytes(token)) for token in new_ids) :]
        if not rest:
            return None
        found = self._spellings.starting_with(rest)
        for size in range(1, len(rest)):
            found += self._spellings.of(rest[:size])
        return np.array(found, np.int64)
