"""What calibration remembers of the activations that a weight is multiplied with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .pack import Floating, chunks


class Moments:
    """Sums over activations [rows, K] as they come."""

    def __init__(self) -> None:
        self.rows = 0
        self._products: npt.NDArray[np.float64] | None = None

    def add(self, activations: Floating) -> None:
        """Take in activations [rows, K]."""
        products = activations.T @ activations
        if self._products is None:
            self._products = np.zeros(products.shape, np.float64)
        self._products += products
        self.rows += len(activations)

    @property
    def second(self) -> npt.NDArray[np.float64]:
        """The mean of x x^T, [K, K]; raises ValueError when nothing was seen."""
        if self._products is None:
            raise ValueError("no activations were seen")
        mean: npt.NDArray[np.float64] = self._products / self.rows
        return mean


def output_error(weight: Floating, rounded: Floating, second: npt.NDArray[np.floating]) -> float:
    """Return how far the products with a rounded weight [N, K] are off, relative to their size.

    The root of the mean squared error over the mean square, for activations with these moments.
    """
    moments = second.astype(np.float32)
    lost = energy = 0.0
    for part, near in zip(chunks(weight), chunks(rounded), strict=True):
        difference = part - near
        lost += float(np.vdot(difference @ moments, difference))
        energy += float(np.vdot(part @ moments, part))
    # Rounding may leave a sum of squares a little below zero.
    return float(np.sqrt(max(lost, 0.0) / energy)) if energy > 0 else 0.0
