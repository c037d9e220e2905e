"""How long export may take to round weights well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..runtime.errors import OptionError


@dataclass(frozen=True)
class Effort:
    """How weights are rounded.

    Args:
        times: for how many times the least texts.
        in_sequence: one after the other, if of few bits; else each for what the exact model makes.
        largest: how many weights a model may have to be rounded so when nobody has asked for an
            effort: for what two cores do in about an hour.

    """

    times: int
    in_sequence: bool
    largest: float


EFFORTS: Mapping[str, Effort] = {
    "least": Effort(1, in_sequence=False, largest=float("inf")),
    "more": Effort(1, in_sequence=True, largest=2e9),
    "most": Effort(3, in_sequence=True, largest=3e8),
}


def effort_of(name: str) -> Effort:
    """Return an effort by its name.

    Raises:
        OptionError: when there is none of that name; lists them.

    """
    if name not in EFFORTS:
        raise OptionError(f"effort {name!r}; expected one of: {', '.join(EFFORTS)}")
    return EFFORTS[name]


def effort_for(weights: int) -> Effort:
    """Return the greatest effort that pays for a model of so many weights."""
    return [effort for effort in EFFORTS.values() if weights <= effort.largest][-1]
