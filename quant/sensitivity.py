"""What each form would lose of each weight: the ranking by which bytes are spent.

What counts is the part of the model's own stream of activations that an error replaces. A weight
that writes into the stream loses its output's squared error over the stream's; one before it in
the same block loses the same share of that block's output. It is an estimate, made without running
the model again: errors are taken to add up, and to keep their size on the way to the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .mix import Choice
from .moments import Moments, output_error, product_energy
from .pack import Floating, nearest, packed_bytes, values
from .schemes import Blocks
from .search import best_scales

FORMS = (Blocks(4, 128), Blocks(4, 64), Blocks(4, 32), Blocks(8, 128))

Choices = dict[str, list[Choice]]


def rank(
    weights: Mapping[str, Floating],
    moments: Mapping[str, Moments],
    writers: Mapping[str, str],
    stream_energy: float,
    forms: Sequence[Blocks] = FORMS,
) -> Choices:
    """Return what each form loses of each weight of a stage.

    Args:
        weights: name to [N, K]; those without moments are tables, which write into the stream.
        moments: name to what the weight is multiplied with.
        writers: name to the weight of the same block that writes into the stream.
        stream_energy: mean sum of squares of the stream after the stage; 0 for the head, whose
            output is all there is.
        forms: what may be chosen.

    """
    found: Choices = {}
    for name, weight in weights.items():
        writer = writers.get(name, name)
        share = 1.0
        if stream_energy and writer in moments:
            share = product_energy(weights[writer], moments[writer].second) / stream_energy
        importance = np.diagonal(moments[name].second) if name in moments else None
        found[name] = []
        for form in forms:
            scales = best_scales(weight, form, importance)
            rounded = values(nearest(weight, scales, form), scales, form)
            if name in moments:
                lost = output_error(weight, rounded, moments[name].second)
            else:
                lost = float(np.linalg.norm(weight - rounded) / (np.linalg.norm(weight) or 1.0))
            size = packed_bytes((weight.shape[0], weight.shape[1]), form)
            found[name].append(Choice(form, size, share * lost**2))
    return found
