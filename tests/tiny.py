"""The shape of the tiny checkpoint, and the type of the function that changes copies of it."""

from collections.abc import Callable
from pathlib import Path

from refact_edge.export.refact_shapes import of_shape

# Heads that are no power of two, a width that no block of 128 divides, padding rows of wte.
TINY = of_shape(layers=2, heads=6, width=96, vocabulary=448, context=640)
TINY_TOKENS = 420

Change = Callable[..., Path]
