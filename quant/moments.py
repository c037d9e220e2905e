"""What calibration remembers of the activations that a weight is multiplied with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .chunks import chunks
from .pack import Floating

# So many rows are multiplied at once: a sum costs as much as 500 rows, whatever it is a sum of.
_TOGETHER = 2048


class Crossed:
    """Sums of y x^T over pairs of activations y [N] and x [K], as they come."""

    def __init__(self) -> None:
        self.rows = 0
        self._waiting: list[tuple[Floating, Floating]] = []
        self._products: npt.NDArray[np.float64] | None = None

    def add(self, y: Floating, x: Floating) -> None:
        """Take in the pairs [rows, N] and [rows, K] of a text."""
        self._waiting.append((y, x))
        self.rows += len(x)
        if sum(len(x) for _, x in self._waiting) >= _TOGETHER:
            self._multiply()

    def _multiply(self) -> None:
        """Add up what waits."""
        if not self._waiting:
            return
        same = all(y is x for y, x in self._waiting)
        x = np.concatenate([x for _, x in self._waiting])
        y = x if same else np.concatenate([y for y, _ in self._waiting])
        self._waiting.clear()
        products = y.T @ x
        if self._products is None:
            self._products = np.zeros(products.shape, np.float64)
        self._products += products

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean of y x^T, [N, K]; raises ValueError when nothing was seen."""
        self._multiply()
        if self._products is None:
            raise ValueError("no activations were seen")
        mean: npt.NDArray[np.float64] = self._products / self.rows
        return mean


class Moments:
    """Sums of x x^T over activations x [K], as they come."""

    def __init__(self) -> None:
        self._pairs = Crossed()

    @property
    def rows(self) -> int:
        """How many activations were seen."""
        return self._pairs.rows

    def add(self, activations: Floating) -> None:
        """Take in the activations [rows, K] of a text."""
        self._pairs.add(activations, activations)

    @property
    def second(self) -> npt.NDArray[np.float64]:
        """The mean of x x^T, [K, K]; raises ValueError when nothing was seen."""
        return self._pairs.mean


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
