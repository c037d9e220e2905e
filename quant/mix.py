"""Which form each weight gets when all together may have so many bytes.

Pure arithmetic over what each form would cost and lose. Spending goes, step by step, to where a
byte saves most loss; along the lower convex hull of each weight's forms that is the best there is,
up to the last step (Everett 1963, on allocating by a common price).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..runtime.errors import OptionError
from .schemes import Form


@dataclass(frozen=True)
class Choice:
    """One form for one weight: the bytes it takes, and what it loses."""

    form: Form
    bytes: int
    loss: float


Mix = dict[str, Choice]


def mixes(choices: Mapping[str, Sequence[Choice]], limit_bytes: float = math.inf) -> Iterator[Mix]:
    """Yield mixes from the smallest to the best, each with one weight's form improved.

    A step that would go over the limit is left out, and so are later ones for the same weight.
    """
    hulls = {name: _hull(options) for name, options in choices.items()}
    mix = {name: hull[0] for name, hull in hulls.items()}
    size = size_of(mix)
    if size > limit_bytes:
        return
    yield dict(mix)
    steps = [(-_gain(*hull[:2]), name, 1) for name, hull in sorted(hulls.items()) if len(hull) > 1]
    heapq.heapify(steps)
    while steps:
        _, name, place = heapq.heappop(steps)
        hull = hulls[name]
        added = hull[place].bytes - hull[place - 1].bytes
        if size + added > limit_bytes:
            continue
        size += added
        mix[name] = hull[place]
        if place + 1 < len(hull):
            heapq.heappush(steps, (-_gain(hull[place], hull[place + 1]), name, place + 1))
        yield dict(mix)


def best_within(
    choices: Mapping[str, Sequence[Choice]], limit_bytes: int, fixed_bytes: int = 0
) -> Mix:
    """Return the mix of least loss that these steps reach within `limit_bytes`.

    Beside the mix there are `fixed_bytes` of something else.

    Raises:
        OptionError: when even the smallest is larger; says how large that is.

    """
    steps = list(mixes(choices, limit_bytes - fixed_bytes))
    if not steps:
        smallest = size_of(next(mixes(choices))) + fixed_bytes
        raise OptionError(
            f"no mix has at most {limit_bytes:,} bytes; the smallest has {smallest:,}"
        )
    return steps[-1]


def size_of(mix: Mapping[str, Choice]) -> int:
    """Return the bytes of a mix."""
    return sum(choice.bytes for choice in mix.values())


def _gain(now: Choice, then: Choice) -> float:
    """Return the loss that a byte saves."""
    return (now.loss - then.loss) / (then.bytes - now.bytes)


def _hull(options: Sequence[Choice]) -> list[Choice]:
    """Return the forms that are worth their bytes, from the smallest, with falling gains."""
    hull: list[Choice] = []
    for choice in sorted(options, key=lambda option: (option.bytes, option.loss)):
        if hull and choice.loss >= hull[-1].loss:
            continue
        while hull and choice.bytes == hull[-1].bytes:
            hull.pop()
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull
