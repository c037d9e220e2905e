"""The shape of the tiny checkpoint, and the type of the function that changes copies of it."""

from collections.abc import Callable
from pathlib import Path

from refact_edge.export.architectures.gpt_refact import Config

# Heads that are no power of two, a width that no block of 128 divides, padding rows of wte.
TINY = Config(layers=2, heads=6, width=96, vocabulary=448, context=640, epsilon=1e-5)
TINY_TOKENS = 420

Change = Callable[..., Path]
