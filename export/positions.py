"""Rotary positions in a config.json, as transformers 4 or 5 write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..runtime.bundle.decoder import Rotary
from .fields import Fields

_FIRST_BASE = 10000.0  # before configs had a field for it


@dataclass(frozen=True)
class RotaryFields:
    """What a config says of rotary positions: `share` is the part of a head that is rotated."""

    base: float
    factor: float
    share: float

    def of_heads(self, size: int) -> Rotary:
        """Return the positions of heads of `size` numbers."""
        return Rotary(self.base, int(size * self.share), self.factor)


def rotary_fields(
    fields: Fields,
    *,
    base: str = "rope_theta",
    share: str = "partial_rotary_factor",
    partial: bool = False,
) -> RotaryFields | None:
    """Read them, or note what is wrong; `base` and `share` are the fields of transformers 4.

    Models with `partial` must say which share is rotated; of others that is all.
    """
    config = fields.config
    newer = config.get("rope_parameters")
    name = "rope_scaling" if newer is None else "rope_parameters"
    scaling = config.get(name) or {}
    if not isinstance(scaling, Mapping):
        fields.expect(name, False, "an object")
        return None
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    right = kind in ("default", "linear")
    fields.expect(name, right, "none, or linear: other kinds of scaling are not supported")
    factor = scaling.get("factor") if kind == "linear" else 1.0
    own_base = scaling.get("rope_theta", config.get(base, _FIRST_BASE))
    numbers = _is_positive(own_base) and _is_positive(factor)
    fields.expect(base, numbers, "a number above 0, and so the factor of its scaling")
    own_share = scaling.get("partial_rotary_factor", config.get(share, None if partial else 1.0))
    if partial:
        whole = type(own_share) in (int, float) and 0 < own_share <= 1
        fields.expect(share, whole, "a number above 0, to 1")
    else:
        whole = own_share == 1
        fields.expect(share, whole, "1: whole heads are rotated")
    if not (right and numbers and whole):
        return None
    return RotaryFields(float(own_base), float(factor or 1), float(own_share))


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
