"""Refact models of any shape: the published one, and small ones for tests and measurements."""

from __future__ import annotations

import math
from typing import Any

from ..runtime.bundle.decoder import Alibi, Attention, Decoder, Mlp, Norm

# Ours, and their names in config.json.
SIZES = {
    "layers": "n_layer",
    "heads": "n_head",
    "width": "n_embd",
    "vocabulary": "vocab_size",
    "context": "n_positions",
}


def alibi_slopes(heads: int) -> tuple[float, ...]:
    """Return one slope a head: geometric for a power of two, then every other of twice as many."""
    power: int = 2 ** int(math.log2(heads))
    first = [2 ** (-8 / power * h) for h in range(1, power + 1)]
    return (*first, *(2 ** (-4 / power * h) for h in range(1, 2 * (heads - power), 2)))


def of_shape(
    *, layers: int, heads: int, width: int, vocabulary: int, context: int, epsilon: float = 1e-5
) -> Decoder:
    """Return the facts of a model of some shape.

    The MLP's width is two thirds of four times E, rounded up to a multiple of 256.
    """
    head_size = width // heads
    return Decoder(
        layers=layers,
        width=width,
        vocabulary=vocabulary,
        context=context,
        tied=False,
        norm=Norm("layer", epsilon),
        positions=Alibi(alibi_slopes(heads)),
        attention=Attention(heads, 1, head_size, head_size**-0.5),
        mlp=Mlp(-(-int(2 * 4 * width / 3) // 256) * 256, "silu", gated=True),
    )


# A checkpoint of the published width and depth must carry just these values; but fine-tuning leaves
# fewer padding rows of the vocabulary, or more.
PUBLISHED = of_shape(layers=32, heads=32, width=2048, vocabulary=49216, context=4096)
PUBLISHED_TOKENS = 49152


def config_sizes(decoder: Decoder) -> dict[str, Any]:
    """Return a decoder's sizes under the names that they have in config.json."""
    sizes = {name: getattr(decoder, name) for name in ("layers", "width", "vocabulary", "context")}
    sizes["heads"] = decoder.attention.heads
    named = {field: sizes[size] for size, field in SIZES.items()}
    return {**named, "layer_norm_epsilon": decoder.norm.epsilon}


def is_published(decoder: Decoder) -> bool:
    """Whether this is the 1.6B model, by its width and depth."""
    return (decoder.width, decoder.layers) == (PUBLISHED.width, PUBLISHED.layers)
