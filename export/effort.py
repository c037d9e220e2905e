"""How long export may take to round weights well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..runtime.errors import OptionError


@dataclass(frozen=True)
class Effort:
    """How weights are rounded: for how many times the usual texts, and if one after the other."""

    times: int
    in_sequence: bool


EFFORTS: Mapping[str, Effort] = {
    "usual": Effort(1, in_sequence=False),
    "more": Effort(1, in_sequence=True),
    "most": Effort(3, in_sequence=True),
}
USUAL = "usual"


def effort_of(name: str) -> Effort:
    """Return an effort by its name.

    Raises:
        OptionError: when there is none of that name; lists them.

    """
    if name not in EFFORTS:
        raise OptionError(f"effort {name!r}; expected one of: {', '.join(EFFORTS)}")
    return EFFORTS[name]
