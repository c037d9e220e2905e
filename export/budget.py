"""Fitting a variant into so many bytes: forms chosen weight by weight, by what each would lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..quant.mix import best_within
from ..quant.schemes import Scheme
from ..quant.sensitivity import Choices, rank
from .inspect import Inspected
from .layerwise import Ids, Layerwise
from .progress import Track
from .weights import ALIGNMENT, Stage, estimate_bytes


def within(
    found: Inspected, scheme: Scheme, texts: Sequence[Ids], limit_bytes: int, track: Track
) -> Scheme:
    """Return the scheme with a form for each weight, so that its data file fits `limit_bytes`.

    Raises:
        OptionError: when no mix of forms fits; says how large the smallest is.

    """
    choices: Choices = {}
    norms = 0
    with track("ranking weights", found.sizes.layers + 2) as advance:
        for stage in Layerwise(found, turned=scheme.turned).calibrate(texts):
            choices |= _rank(stage)
            norms += estimate_bytes([spec for spec in stage.specs if spec.role == "norm"], scheme)
            advance(1)
    mix = best_within(choices, limit_bytes, fixed_bytes=norms + ALIGNMENT * len(choices))
    return replace(scheme, forms={name: choice.form for name, choice in mix.items()})


def _rank(stage: Stage) -> Choices:
    ranked = {spec.name: stage.weights[spec.name] for spec in stage.specs if spec.role != "norm"}
    writers = {spec.name: spec.writer for spec in stage.specs if spec.writer is not None}
    return rank(ranked, stage.moments, writers, stage.stream_energy)
