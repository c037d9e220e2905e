"""What each form would lose of each weight, in nats of KL: the ranking by which bytes are spent.

An estimate, made without running the model again. Errors of the head's products are errors of
logits, and KL is half their variance under the model's own choice (to second order). What another
weight does wrong ends up in the stream, is taken to be noise there, without a direction of its own,
and reaches the logits through final norm and head. How loud it is then depends on how much later
layers see of it; the truth lies between all (each norms its input) and none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .chunks import chunks
from .mix import Choice
from .moments import Moments, product_energy
from .pack import Floating, nearest, packed_bytes, scale_type, values
from .schemes import Blocks
from .search import best_scales

FORMS = (Blocks(4, 128), Blocks(4, 64), Blocks(4, 32), Blocks(8, 128))

Choices = dict[str, list[Choice]]


class Readout:
    """What is known of the choices that a model makes: how noise before its head would show.

    `likely` is the mean probability of each token, [V]. `gain` is the mean variance, over the
    tokens as they are likely, of products with noise of size 1.
    """

    def __init__(self, weight: Floating) -> None:
        """Begin with the head's weight [V, E]."""
        self._weight, self._sizes = weight, np.square(weight).sum(axis=1)
        self._likely = np.zeros(len(weight))
        self._variance = 0.0
        self._rows = 0

    def add(self, logits: Floating) -> None:
        """Take in logits [rows, V]."""
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        mean = likely @ self._weight
        self._variance += float((likely @ self._sizes).sum()) - float(np.vdot(mean, mean))
        self._likely += likely.sum(axis=0)
        self._rows += len(logits)

    @property
    def likely(self) -> npt.NDArray[np.float64]:
        """The mean probability of each token."""
        return self._likely / self._rows

    @property
    def gain(self) -> float:
        """The mean variance that noise of size 1 makes in the logits."""
        return self._variance / self._rows


def rank(
    weights: Mapping[str, Floating],
    moments: Mapping[str, Moments],
    writers: Mapping[str, str],
    stream_energy: float,
    forms: Sequence[Blocks] = FORMS,
) -> Choices:
    """Return what each form does wrong, by weight: mean sum of squares that it adds to the stream.

    One that writes into the stream adds its output's error. One before it in the same block is
    taken to spoil the same share of what that block writes.

    Args:
        weights: name to [N, K]; those without moments are tables, which make the stream.
        moments: name to what the weight is multiplied with.
        writers: name to the weight of the same block that writes into the stream.
        stream_energy: mean sum of squares of the stream after the stage.
        forms: what may be chosen.

    """
    choices: Choices = {}
    for name, weight in weights.items():
        writer = writers.get(name, name)
        written = stream_energy
        if writer in moments:
            written = product_energy(weights[writer], moments[writer].second)
        second = moments[name].second if name in moments else None
        energy = _energy(weight, second)
        choices[name] = []
        for form in forms:
            scales, rounded = _rounded(weight, form, second)
            share = _energy(weight - rounded, second) / energy if energy else 0.0
            choices[name].append(_choice(weight, form, scales, max(written * share, 0.0)))
    return choices


def rank_minded(
    weight: Floating,
    second: npt.NDArray[np.floating],
    gradients: npt.NDArray[np.floating],
    forms: Sequence[Blocks] = FORMS,
) -> list[Choice]:
    """Return what each form of a weight [N, K] loses, in nats of KL, as gradients tell it.

    To second order KL is half of what Fisher's information makes of an error E: tr(G E H E^T) / 2,
    if gradients and inputs are independent of each other.

    Args:
        weight: its rows are as many equal runs as there are gradients' moments.
        second: [K, K], H, the mean of x x^T over its inputs.
        gradients: [parts, N / parts, N / parts], G, the mean of g g^T of each run of its outputs.
        forms: what may be chosen.

    """
    inputs = second.astype(np.float32)

    def lost(wrong: Floating) -> float:
        runs = zip(np.split(wrong, len(gradients)), gradients, strict=True)
        return 0.5 * sum(float(np.vdot(minded @ part, part @ inputs)) for part, minded in runs)

    return _ranked(weight, second, forms, lost)


def rank_table(
    weight: Floating,
    ids: npt.NDArray[np.integer],
    gradients: npt.NDArray[np.floating],
    forms: Sequence[Blocks] = FORMS,
) -> list[Choice]:
    """Return what each form of a table [V, E] loses, in nats of KL, where `ids` are looked up.

    `gradients` [E, E] is the mean of g g^T over gradients for what is looked up.
    """
    rows, counts = np.unique(ids, return_counts=True)

    def lost(wrong: Floating) -> float:
        spread = np.einsum("nk,nk->n", wrong[rows] @ gradients, wrong[rows])
        return 0.5 * float(counts @ spread) / len(ids)

    return _ranked(weight, gradients, forms, lost)


def rank_head(
    weight: Floating, moments: Moments, readout: Readout, forms: Sequence[Blocks] = FORMS
) -> list[Choice]:
    """Return what each form of the head's weight [V, E] loses, in nats of KL."""
    second = moments.second.astype(np.float32)

    def lost(wrong: Floating) -> float:
        spread = [np.einsum("nk,nk->n", part @ second, part) for part in chunks(wrong)]
        return 0.5 * float(readout.likely @ np.concatenate(spread))

    return _ranked(weight, second, forms, lost)


def as_kl(energy: float, gain: float, stream_energy: float, final_energy: float) -> float:
    """Return the KL of noise of so much energy in the stream, before the final norm and head.

    Taken to keep its size if the stream grows on its way to the end, it would count as
    `energy / final_energy`; taken to grow as the stream does, as `energy / stream_energy`. On the
    demo checkpoint the geometric mean of the two was within a factor of 2 for what writes.
    """
    if not stream_energy or not final_energy:
        return 0.0
    return 0.5 * gain * energy / math.sqrt(stream_energy * final_energy)


def _ranked(
    weight: Floating,
    second: npt.NDArray[np.floating],
    forms: Sequence[Blocks],
    lost: Callable[[Floating], float],
) -> list[Choice]:
    """Return each form with what the error that it makes of a weight loses."""
    choices = []
    for form in forms:
        scales, rounded = _rounded(weight, form, second)
        choices.append(_choice(weight, form, scales, max(lost(weight - rounded), 0.0)))
    return choices


def _energy(weight: Floating, second: npt.NDArray[np.floating] | None) -> float:
    """Return the mean sum of squares of the products with a weight, or, of a table, of its rows."""
    return float(np.vdot(weight, weight)) if second is None else product_energy(weight, second)


def _rounded(
    weight: Floating, form: Blocks, second: npt.NDArray[np.floating] | None
) -> tuple[Floating, Floating]:
    """Return scales, and what a weight is with them."""
    scales = best_scales(weight, form, None if second is None else np.diagonal(second))
    return scales, values(nearest(weight, scales, form), scales, form)


def _choice(weight: Floating, form: Blocks, scales: Floating, loss: float) -> Choice:
    scale_bytes = np.dtype(scale_type(scales, form)).itemsize
    shape = (weight.shape[0], weight.shape[1])
    return Choice(form, packed_bytes(shape, form, scale_bytes), loss)
