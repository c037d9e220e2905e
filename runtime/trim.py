"""Fitting a long file into the context: which lines around the cursor stay.

Lines are taken outward from the cursor, above and below in turn, 32 at a time. Above, the steps
end at multiples of 32 lines from the start of the file, and below they count from the cursor, so
that the cut points stay put while one types and cached tokens stay valid.
"""

from __future__ import annotations

from collections.abc import Callable

STEP_LINES = 32
STEP_TOKENS = 256  # for a single step that is too long by itself: minified files

Encode = Callable[[str], list[int]]


def trim(
    prefix: str, suffix: str, budget_tokens: int, encode: Encode
) -> tuple[list[int], list[int]]:
    """Return the ids of what stays of `prefix` and `suffix`, at most `budget_tokens` in all."""
    above, below = _steps_above(prefix), _steps_below(suffix)
    taken = {"above": 0, "below": 0}
    room = budget_tokens
    sides = {"above": above, "below": below}
    side = "above"
    while sides:
        steps = sides[side]
        cost = len(encode(steps[taken[side]])) if taken[side] < len(steps) else room + 1
        if cost > room:
            del sides[side]
        else:
            room -= cost
            taken[side] += 1
        other = "below" if side == "above" else "above"
        side = other if other in sides else side
    if above and not taken["above"]:
        # The step at the cursor alone is too long: keep its end, and then what fits below.
        ids = _end(encode(above[0]), budget_tokens)
        return ids, _start(encode("".join(below[:1])), budget_tokens - len(ids))
    return _encode_within(above, below, taken, budget_tokens, encode)


def _encode_within(
    above: list[str],
    below: list[str],
    taken: dict[str, int],
    budget_tokens: int,
    encode: Encode,
) -> tuple[list[int], list[int]]:
    """Encode the steps in one piece a side; seams may cost a token more than their parts did."""
    while True:
        prefix = encode("".join(reversed(above[: taken["above"]])))
        suffix = encode("".join(below[: taken["below"]]))
        if len(prefix) + len(suffix) <= budget_tokens:
            return prefix, suffix
        longer = max(taken, key=lambda side: taken[side])
        taken[longer] -= 1


def _lines(text: str) -> list[str]:
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _steps_above(prefix: str) -> list[str]:
    lines = _lines(prefix)
    starts = range(0, len(lines), STEP_LINES)
    return ["".join(lines[start : start + STEP_LINES]) for start in reversed(starts)]


def _steps_below(suffix: str) -> list[str]:
    lines = _lines(suffix)
    return [
        "".join(lines[start : start + STEP_LINES]) for start in range(0, len(lines), STEP_LINES)
    ]


def _end(ids: list[int], budget_tokens: int) -> list[int]:
    excess, step = max(0, len(ids) - budget_tokens), _step(budget_tokens)
    return ids[-(-excess // step) * step :]


def _start(ids: list[int], budget_tokens: int) -> list[int]:
    step = _step(budget_tokens)
    return ids if len(ids) <= budget_tokens else ids[: budget_tokens // step * step]


def _step(budget_tokens: int) -> int:
    return max(1, min(STEP_TOKENS, budget_tokens // 4))
