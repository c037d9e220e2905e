"""Replaying an editing trace: every request that the editor made, one after the other.

Pauses are not waited for. What one request leaves in the model's caches the next one finds, as
while one types; where an editor warms the cache in pauses, so does this, and leaves that time out.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from ..engine.sampling import Sampling
from ..model import Model
from .figures import Served
from .traces import Ask, Trace, asks

MAX_TOKENS = 16


def replay(
    model: Model,
    trace: Trace,
    *,
    max_tokens: int = MAX_TOKENS,
    ahead: bool = False,
    advance: Callable[[int], None] = lambda _requests: None,
    clock: Callable[[], float] = perf_counter,
) -> list[Served]:
    """Ask a model, greedily, all that a trace asks; `advance` is called after each request.

    With `ahead` each completion is read behind its prefix before the next event.

    Raises:
        OptionError: when `max_tokens` does not fit the model's context.

    """
    served = []
    for ask in asks(trace):
        one, text = _serve(model, ask, max_tokens, clock)
        served.append(one)
        if ahead:
            model.warm(ask.prefix + text, ask.suffix, max_tokens=max_tokens)
        advance(1)
    return served


def _serve(
    model: Model, ask: Ask, max_tokens: int, clock: Callable[[], float]
) -> tuple[Served, str]:
    start = clock()
    first: float | None = None
    stream = model.complete(
        ask.prefix, ask.suffix, max_tokens=max_tokens, stop=(), sampling=Sampling(temperature=0)
    )
    with stream:
        for _ in stream:
            first = clock() if first is None else first
    end, usage = clock(), stream.usage
    served = Served(
        # An empty answer is complete at once.
        first_token_ms=1e3 * ((end if first is None else first) - start),
        total_ms=1e3 * (end - start),
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cached,
        drafted=usage.drafted,
        accepted=usage.accepted,
    )
    return served, stream.text
