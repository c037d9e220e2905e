"""What calibration remembers of the activations that a weight is multiplied with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .pack import Floating, chunks

SAMPLE_ROWS = 8  # of each text: enough to try things on


class Moments:
    """Sums over activations [rows, K] as they come, and a few of the rows."""

    def __init__(self) -> None:
        self.rows = 0
        self._products: npt.NDArray[np.float64] | None = None
        self._largest: Floating | None = None
        self._sample: list[Floating] = []

    def add(self, activations: Floating) -> None:
        """Take in the activations [rows, K] of a text."""
        products, largest = activations.T @ activations, np.abs(activations).max(axis=0)
        if self._products is None or self._largest is None:
            self._products = np.zeros(products.shape, np.float64)
            self._largest = largest
        self._products += products
        self._largest = np.maximum(self._largest, largest)
        self.rows += len(activations)
        some = np.linspace(0, len(activations) - 1, SAMPLE_ROWS).astype(int)
        self._sample.append(activations[some])

    @property
    def second(self) -> npt.NDArray[np.float64]:
        """The mean of x x^T, [K, K]; raises ValueError when nothing was seen."""
        if self._products is None:
            raise ValueError("no activations were seen")
        mean: npt.NDArray[np.float64] = self._products / self.rows
        return mean

    @property
    def largest(self) -> Floating:
        """The largest magnitude of each column, [K]; raises ValueError when nothing was seen."""
        if self._largest is None:
            raise ValueError("no activations were seen")
        return self._largest

    @property
    def sample(self) -> Floating:
        """Some of the rows, [n, K]."""
        return np.concatenate(self._sample)

    def divided(self, factors: Floating) -> Moments:
        """Return the moments of activations whose columns were divided by `factors` [K]."""
        other = Moments()
        other.rows = self.rows
        other._products = self.second * self.rows / np.outer(factors, factors)
        other._largest = self.largest / factors
        other._sample = [self.sample / factors]
        return other


def product_energy(weight: Floating, second: npt.NDArray[np.floating]) -> float:
    """Return the mean sum of squares of the products with a weight [N, K]: tr(W E[x x^T] W^T)."""
    moments = second.astype(np.float32)
    return sum(float(np.vdot(part @ moments, part)) for part in chunks(weight))


def output_error(weight: Floating, rounded: Floating, second: npt.NDArray[np.floating]) -> float:
    """Return how far the products with a rounded weight [N, K] are off, relative to their size.

    The root of the mean squared error over the mean square, for activations with these moments.
    """
    lost = product_energy(weight - rounded, second)
    energy = product_energy(weight, second)
    # Rounding may leave a sum of squares a little below zero.
    return float(np.sqrt(max(lost, 0.0) / energy)) if energy > 0 else 0.0
