"""How long a request may take.

Read from `perf_counter`: on Windows `monotonic` moves in steps of 16 ms before Python 3.13.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..errors import OptionError

_PROMPT_SHARE = 0.5  # of the total, without a limit of its own


@dataclass(frozen=True)
class TimeLimit:
    """Time for the prompt, in ms, and the time of the clock at which the request must end."""

    prompt_ms: float | None
    _end_s: float | None

    @classmethod
    def starting_now(cls, prompt_ms: float | None, total_ms: float | None) -> TimeLimit:
        """Return the limit of a request that begins now; None for no limit.

        Raises:
            OptionError: when one is not above 0.

        """
        for name, ms in (("prompt_ms", prompt_ms), ("total_ms", total_ms)):
            if ms is not None and not ms > 0:
                raise OptionError(f"{name} {ms}; expected milliseconds above 0")
        if total_ms is None:
            return cls(prompt_ms, None)
        share = _PROMPT_SHARE * total_ms if prompt_ms is None else min(prompt_ms, total_ms)
        return cls(share, time.perf_counter() + total_ms / 1000)

    def expired(self) -> bool:
        """Whether the time is over."""
        return self._end_s is not None and time.perf_counter() >= self._end_s
