"""The weights of a model whose activations are rotated before rounding; see quant/rotation.py.

The stream is turned as a whole, values within each head, and what the MLP's last product reads
block by block, which is a step in the graph. Norms lie between the stream and its readers and
weigh channels one by one, so their weights move into the readers first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..quant.rotation import turn_columns, turn_rows
from .architectures import WeightSpec
from .centre import centred
from .checkpoint import Floating


def turned(specs: Sequence[WeightSpec], weights: Mapping[str, Floating]) -> dict[str, Floating]:
    """Return the weights [N, K] of a stage, as they are in the turned model."""
    return {spec.name: _turned(spec, weights) for spec in specs}


def _turned(spec: WeightSpec, weights: Mapping[str, Floating]) -> Floating:
    weight = weights[spec.name]
    if spec.role == "norm":
        return np.ones_like(weight)
    weight = centred(spec, weight)
    if spec.norm is not None:
        weight = weight * weights[spec.norm]
    if spec.reads:
        weight = turn_columns(weight, spec.reads)
    if spec.writes:
        weight = turn_rows(weight, spec.writes, spec.writes_from)
    return weight
