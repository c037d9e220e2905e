"""One pass over a session: how long prompts and single tokens take it.

A long prompt is also all the shorter ones that it begins with, so that one pass times them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ..bundle.contract import Sizes
from ..engine.generation import CHUNK_TOKENS
from ..engine.session import Session
from ..errors import OptionError

LENGTHS = (128, 512, 1024, 2048, 4096)
DEPTHS = (64, 512, 2048)
DECODED = 16  # tokens timed at each depth

Clock = Callable[[], float]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Workload:
    """Prompt lengths and depths of decoding, in tokens, shortest first."""

    lengths: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return self.lengths[-1]

    @property
    def work_tokens(self) -> int:
        """How much `run_pass` advances in all."""
        return self.longest + DECODED * len(self.depths)


@dataclass(frozen=True)
class Pass:
    """Time of each prompt of a workload, and of a token at each depth."""

    prefill_ms: dict[int, float]
    decode_ms: dict[int, float]


def workload_for(context: int, longest: int | None = None) -> Workload:
    """Return the lengths that fit a context with some tokens behind them; at most `longest`.

    Raises:
        OptionError: when `longest` is not a length that fits.

    """
    most = context - DECODED
    if longest is not None and not 0 < longest <= most:
        raise OptionError(
            f"longest {longest}; expected 1 to {most}, as the context holds {context} tokens"
        )
    limit = longest or min(most, LENGTHS[-1])
    lengths = tuple(length for length in LENGTHS if length < limit)
    depths = tuple(depth for depth in DEPTHS if depth <= limit)
    return Workload((*lengths, limit), depths or (limit,))


def run_pass(
    session: Session,
    workload: Workload,
    advance: Advance = lambda _: None,
    clock: Clock = perf_counter,
) -> Pass:
    """Send the longest prompt through a session as the engine does, then single tokens."""
    ids = random_ids(session.sizes, workload.longest)
    cache = session.new_cache()

    def timed_ms(new: npt.NDArray[np.int64]) -> float:
        start = clock()
        session.step(new, cache)
        return 1e3 * (clock() - start)

    _warm_up(session, ids)
    prefill_ms, prefill_so_far_ms = {}, 0.0
    for at in range(0, workload.longest, CHUNK_TOKENS):
        chunk = ids[at : at + CHUNK_TOKENS]
        prefill_so_far_ms += timed_ms(chunk)
        if len(cache.ids) in workload.lengths:
            prefill_ms[len(cache.ids)] = prefill_so_far_ms
        advance(len(chunk))
    decode_ms = {}
    for depth in reversed(workload.depths):  # the deepest first: what lies above the others stays
        cache.rewind(depth)
        written = [timed_ms(ids[i : i + 1]) for i in np.arange(DECODED) % len(ids)]
        decode_ms[depth] = sum(written) / DECODED
        advance(DECODED)
    return Pass(prefill_ms, decode_ms)


def random_ids(sizes: Sizes, count: int) -> npt.NDArray[np.int64]:
    """Return ids [count]; which they are changes no time."""
    return np.random.default_rng(0).integers(0, sizes.tokens, count, np.int64)


def _warm_up(session: Session, ids: npt.NDArray[np.int64]) -> None:
    """Let what a session does once, such as taking memory, happen before anything is timed."""
    cache = session.new_cache()
    session.step(ids[:CHUNK_TOKENS], cache)
    session.step(ids[:1], cache)
