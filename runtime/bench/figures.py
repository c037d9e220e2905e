"""What was measured, summed up: medians with their spread, percentiles, shares.

Units are in the names. `asdict` of what is here is what `--json` prints.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Several rounds of one figure."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sum up one value a round."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True)
class Percentiles:
    """The middle of many values, and what all but the slowest twentieth stay within."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles:
        """Sum up values; between two of them percentiles are interpolated."""
        p50, p95 = np.percentile(np.asarray(values, np.float64), (50, 95))
        return cls(float(p50), float(p95))


@dataclass(frozen=True)
class Prefill:
    """Reading a prompt of that many tokens."""

    tokens: int
    prefill_ms: Spread
    tokens_per_s: Spread


@dataclass(frozen=True)
class Decode:
    """Writing tokens behind that many others; `share_of_limit` is the limit's time over ours."""

    depth_tokens: int
    decode_ms: Spread  # a token
    tokens_per_s: Spread
    share_of_limit: Spread


@dataclass(frozen=True)
class MemoryUse:
    """Memory of a process after its longest prompt; None where the system does not tell."""

    after_tokens: int
    anonymous_bytes: Spread | None
    mapped_bytes: Spread | None
    peak_bytes: Spread | None


@dataclass(frozen=True)
class Throughput:
    """All that `bench throughput` finds out; spreads are over rounds.

    Reading all weights but the table of ids, once a token, at the machine's bandwidth, is the limit
    of decoding. Prefill is bound by arithmetic, whose limit is not measured.
    """

    bundle: str
    variant: str
    engine: str  # in words
    device: str
    threads: int
    cpu: str
    rounds: int
    read_bandwidth_bytes_per_s: Spread
    weights_read_bytes: int  # a token
    limit_ms: Spread  # a token
    prefill: tuple[Prefill, ...]
    decode: tuple[Decode, ...]
    cold_start_ms: Spread
    memory: MemoryUse


@dataclass(frozen=True)
class Served:
    """One request of a replay."""

    first_token_ms: float
    total_ms: float
    prompt_tokens: int
    cached_tokens: int
    drafted: int
    accepted: int


@dataclass(frozen=True)
class Typing:
    """A replayed trace summed up, or all of them.

    `reused_share` is the share of prompt tokens found in a cache, over all requests but the first
    of each trace, which has nothing to find.
    """

    name: str
    requests: int
    first_token_ms: Percentiles
    total_ms: Percentiles
    prompt_tokens: int
    evaluated_tokens: int
    reused_share: float
    drafted: int
    accepted: int


@dataclass(frozen=True)
class Replays:
    """All that `bench typing` finds out."""

    bundle: str
    variant: str
    engine: str  # in words
    device: str
    threads: int
    cpu: str
    max_tokens: int  # of each completion
    traces: tuple[Typing, ...]
    overall: Typing


@dataclass(frozen=True)
class Keystroke:
    """A letter typed in the middle of a file, to the first token; the spread is over letters."""

    lines: int
    prompt_tokens: int
    first_token_ms: Spread


@dataclass(frozen=True)
class Keystrokes:
    """All that `bench keystroke` finds out."""

    bundle: str
    variant: str
    engine: str  # in words
    device: str
    threads: int
    cpu: str
    files: tuple[Keystroke, ...]


def typing_of(name: str, replays: Sequence[Sequence[Served]]) -> Typing:
    """Sum up the requests of one trace or of several."""
    served = list(chain.from_iterable(replays))
    later = list(chain.from_iterable(replay[1:] for replay in replays))
    prompt = sum(one.prompt_tokens for one in served)
    later_prompt = sum(one.prompt_tokens for one in later)
    reused = sum(one.cached_tokens for one in later)
    return Typing(
        name=name,
        requests=len(served),
        first_token_ms=Percentiles.of([one.first_token_ms for one in served]),
        total_ms=Percentiles.of([one.total_ms for one in served]),
        prompt_tokens=prompt,
        evaluated_tokens=prompt - sum(one.cached_tokens for one in served),
        reused_share=reused / later_prompt if later_prompt else 0.0,
        drafted=sum(one.drafted for one in served),
        accepted=sum(one.accepted for one in served),
    )
