"""How long a keystroke takes to its first token, by the length of the file and of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from ..engine.sampling import GREEDY
from ..model import Model
from .figures import Keystroke, Spread

# Short files differ in the prompt's length. Long ones, of which the same part fits the context,
# differ in nothing that the model sees.
LINES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
TYPED = " = compute"
ROUNDS = len(TYPED)


def keystroke(
    model: Model,
    lines: int,
    *,
    advance: Callable[[int], None] = lambda _keystrokes: None,
    clock: Callable[[], float] = perf_counter,
) -> Keystroke:
    """Type in the middle of a file of so many lines, and ask for a token at each letter.

    The first request, which prefills the whole prompt, is not counted.
    """
    above, below = code(0, lines // 2) + "    result", "\n" + code(lines // 2, lines)
    times, prompt = [], 0
    for typed in range(ROUNDS + 1):
        start = clock()
        stream = model.complete(
            above + TYPED[:typed],
            below,
            max_tokens=1,
            stop=(),
            allow_empty=False,
            sampling=GREEDY,
        )
        with stream:
            for _ in stream:
                pass
        times.append(1e3 * (clock() - start))
        prompt = stream.usage.prompt
        advance(1)
    return Keystroke(lines, prompt, Spread.of(times[1:]))


def code(start: int, end: int) -> str:
    """Return lines of code that are all different."""
    return "".join(f"    value_{i} = compute(value_{i - 1}, {i % 97})\n" for i in range(start, end))
