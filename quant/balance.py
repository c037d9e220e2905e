"""Moving scale between activations and weights, one factor a channel, before both are rounded.

A channel that is often large takes the codes of the others; divided by a factor where it is made,
and its column multiplied by it where it is used, the product is the same and both round better.
For 8-bit activations this is SmoothQuant (Xiao et al. 2023), for weights alone AWQ (Lin et al.
2023). But for the rounding the model stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .moments import Moments
from .pack import Floating, Quantized, largest_scales, nearest, values
from .schemes import Rows

# How much of a channel's size moves: none of it up to nearly all.
EXPONENTS = (0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
_LARGEST_POWER = 8  # factors stay within 2**-8 to 2**8


@dataclass(frozen=True)
class Fold:
    """Where a factor a channel can go: from the rows of one weight into the columns of others.

    Args:
        source: the weight whose rows `first` to `first + count` make the channels, or a norm.
        first: its first row; 0 for a norm.
        count: channels.
        into: the weights that the channels are multiplied with.
        repeats: how often the channels stand side by side there, as value channels do for heads.

    """

    source: str
    first: int
    count: int
    into: tuple[str, ...]
    repeats: int = 1


def balance(
    weights: Mapping[str, Floating],
    moments: Mapping[str, Moments],
    folds: Sequence[Fold],
    form: Quantized,
) -> tuple[dict[str, Floating], dict[str, Moments]]:
    """Return the weights [N, K] and moments of a stage with the best factors moved.

    A norm is [1, E]. Weights that no factor touches are returned as they are.
    """
    new_weights, new_moments = dict(weights), dict(moments)
    for fold in folds:
        used = [new_weights[name] for name in fold.into]
        seen = new_moments[fold.into[0]]
        factors = best_factors(used, seen, fold, form)
        if (factors == 1).all():
            continue
        columns = np.tile(factors, fold.repeats)
        new_weights[fold.source] = _divided(new_weights[fold.source], fold, factors)
        for name in fold.into:
            new_weights[name] = new_weights[name] * columns
            new_moments[name] = new_moments[name].divided(columns)
    return new_weights, new_moments


def best_factors(used: Sequence[Floating], seen: Moments, fold: Fold, form: Quantized) -> Floating:
    """Return the factors [count] with which the products lose least on activations at hand."""
    rounded = form == Rows(terms=1)  # two terms are as good as exact
    activations = seen.largest if rounded else np.sqrt(np.diagonal(seen.second))
    size = activations.reshape(fold.repeats, -1).max(axis=0)
    reach = np.max([np.abs(weight).max(axis=0) for weight in used], axis=0)
    reach = reach.reshape(fold.repeats, -1).max(axis=0)
    best = np.ones(fold.count, np.float32)
    if not (size > 0).any():
        return best
    lowest = _lost(used, seen.sample, np.tile(best, fold.repeats), form)
    for exponent in EXPONENTS:
        factors = _factors(size, reach, exponent)
        lost = _lost(used, seen.sample, np.tile(factors, fold.repeats), form)
        if lost < lowest:
            best, lowest = factors, lost
    return best


def _factors(size: Floating, reach: Floating, exponent: float) -> Floating:
    """Return size**exponent / reach**(1 - exponent) around 1; 1 where either is 0."""
    known = (size > 0) & (reach > 0)
    powers = np.zeros(len(size))
    powers[known] = exponent * np.log2(size[known]) - (1 - exponent) * np.log2(reach[known])
    powers[known] -= np.median(powers[known])
    factors: Floating = np.exp2(np.clip(powers, -_LARGEST_POWER, _LARGEST_POWER))
    return factors.astype(np.float32)


def _lost(used: Sequence[Floating], sample: Floating, columns: Floating, form: Quantized) -> float:
    """Return the squared error of the products with factors on the columns, both sides rounded."""
    scaled = sample / columns
    given = _rounded_tokens(scaled) if form == Rows(terms=1) else scaled
    total = 0.0
    for weight in used:
        moved = weight * columns
        rounded = values(nearest(moved, scales := largest_scales(moved, form), form), scales, form)
        difference = sample @ weight.T - given @ rounded.T
        total += float(np.vdot(difference, difference))
    return total


def _rounded_tokens(activations: Floating) -> Floating:
    """Round activations [rows, K] as int8 kernels see them, one scale a token."""
    tokens = Rows()
    scales = largest_scales(activations, tokens)
    return values(nearest(activations, scales, tokens), scales, tokens)


def _divided(source: Floating, fold: Fold, factors: Floating) -> Floating:
    divided = source.copy()
    if len(source) == 1:  # a norm: its values are the channels
        divided[0] /= factors
    else:
        divided[fold.first : fold.first + fold.count] /= factors[:, None]
    return divided
