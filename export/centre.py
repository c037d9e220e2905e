"""Mean-centring: an exact rewrite after which RMSNorm does what LayerNorm did.

The stream of activations is the sum of the embedding and of what each block writes. When none of
them has a mean over the width, the stream has none, and a LayerNorm, which first subtracts the
mean, equals an RMSNorm with the same weight and bias. Nothing downstream can tell, as every reader
of the stream is behind a norm. For engines that run RMSNorm where a model has LayerNorm.
"""

from __future__ import annotations

from .checkpoint import Floating
from .roles import WeightSpec


def centred(spec: WeightSpec, weight: Floating) -> Floating:
    """Return `weight` [N, K] without what it adds to the stream's mean; a bias is [1, N].

    Weights that do not write into the stream are returned as they are.
    """
    if spec.role in ("embedding", "positions") or spec.writes_bias:
        across = 1
    elif spec.writer == spec.name:
        across = 0
    else:
        return weight
    rest: Floating = weight - weight.mean(axis=across, keepdims=True)
    return rest
