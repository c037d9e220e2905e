"""Fitting a long file into the context: which lines around the cursor stay.

Lines are taken outward from the cursor, above and below in turn, some at a time: 32, or fewer where
the budget is small. Above, the steps end at multiples of that from the start of the file, and below
they count from the cursor, so that the cut points stay put while one types and cached tokens stay
valid.
"""

from __future__ import annotations

from collections.abc import Callable

STEP_LINES = (32, 16, 8, 4)
STEPS, TOKENS_A_LINE = 6, 10  # a budget should hold so many steps of lines of about that length
CHARACTERS_A_TOKEN = 16  # more than any code has on average; bounds what is encoded in vain
STEP_TOKENS = 256  # for a single step that is too long by itself: minified files

Encode = Callable[[str], list[int]]


def trim(
    prefix: str,
    suffix: str,
    budget_tokens: int,
    encode: Encode,
    lines_before: int = 0,
    *,
    before: str = "",
) -> tuple[list[int], list[int]]:
    """Return the ids of what stays of `prefix` and `suffix`, at most `budget_tokens` in all.

    The file has `lines_before` lines before `prefix`, which certainly do not fit. `before` is
    encoded together with what stays of the prefix, unless that is nothing.
    """
    step = _step_lines(budget_tokens)
    sides = {
        "above": _steps_above(prefix, step, lines_before),
        "below": _steps_below(suffix, step),
    }
    counts = {"above": 0, "below": 0}  # steps that stay
    room = max(0, budget_tokens)
    growing, side = set(sides), "above"
    while growing:
        steps, count = sides[side], counts[side]
        cost = _cost(steps[count], room, encode) if count < len(steps) else room + 1
        if cost > room:
            growing.discard(side)
        else:
            room -= cost
            counts[side] += 1
        other = "below" if side == "above" else "above"
        side = other if other in growing else side
    if any(sides[side] and not counts[side] for side in sides):
        # A step at the cursor is too long by itself, as in a minified file.
        return _cut_at_cursor(sides["above"], sides["below"], max(0, budget_tokens), encode)
    return _encode_within(sides["above"], sides["below"], counts, budget_tokens, encode, before)


def _cut_at_cursor(
    above: list[str], below: list[str], budget_tokens: int, encode: Encode
) -> tuple[list[int], list[int]]:
    """Cut the steps next to the cursor by tokens: three quarters above, or what below leaves."""
    limit = budget_tokens * CHARACTERS_A_TOKEN
    line = "".join(above[:1])
    before = encode(line[max(0, len(line) // max(1, limit) - 1) * limit :])
    after = encode("".join(below[:1])[:limit])
    prefix = _end(before, max(budget_tokens * 3 // 4, budget_tokens - len(after)))
    return prefix, _start(after, budget_tokens - len(prefix))


def _cost(step: str, room: int, encode: Encode) -> int:
    """Return the tokens of a step; one that cannot fit is not worth encoding."""
    return room + 1 if len(step) > room * CHARACTERS_A_TOKEN else len(encode(step))


def _encode_within(
    above: list[str],
    below: list[str],
    counts: dict[str, int],
    budget_tokens: int,
    encode: Encode,
    before: str,
) -> tuple[list[int], list[int]]:
    """Encode the steps in one piece a side; seams may cost a token more than their parts did."""
    while True:
        lines = "".join(reversed(above[: counts["above"]]))
        prefix = encode(before + lines) if lines else []
        suffix = encode("".join(below[: counts["below"]]))
        if len(prefix) + len(suffix) <= budget_tokens or not any(counts.values()):
            return prefix, suffix
        longer = max(counts, key=lambda side: counts[side])
        counts[longer] -= 1


def _lines(text: str) -> list[str]:
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _step_lines(budget_tokens: int) -> int:
    """Return the largest step of which the budget holds several."""
    most = budget_tokens // (STEPS * TOKENS_A_LINE)
    return next((lines for lines in STEP_LINES if lines <= most), STEP_LINES[-1])


def _steps_above(prefix: str, step: int, lines_before: int) -> list[str]:
    lines = _lines(prefix)
    starts = range(-(lines_before % step), len(lines), step)
    return ["".join(lines[max(0, start) : start + step]) for start in reversed(starts)]


def _steps_below(suffix: str, step: int) -> list[str]:
    lines = _lines(suffix)
    return ["".join(lines[start : start + step]) for start in range(0, len(lines), step)]


def _end(ids: list[int], budget_tokens: int) -> list[int]:
    excess, step = max(0, len(ids) - budget_tokens), _step(budget_tokens)
    return ids[-(-excess // step) * step :]


def _start(ids: list[int], budget_tokens: int) -> list[int]:
    step = _step(budget_tokens)
    return ids if len(ids) <= budget_tokens else ids[: budget_tokens // step * step]


def _step(budget_tokens: int) -> int:
    return max(1, min(STEP_TOKENS, budget_tokens // 4))
