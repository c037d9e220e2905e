"""Published models by their shape: the config.json of each, and what its tokenizer holds.

Enough to make a checkpoint or a bundle of random weights, for measuring a model that is not at
hand. Each architecture's file reads the config.json as it reads a real one. Where a field was not
to be had it is what the family's other models say; none of these changes a size.
"""

from __future__ import annotations

from ..runtime.errors import OptionError
from .refact_shapes import PUBLISHED, PUBLISHED_TOKENS
from .shape import Shape, refact_shape
from .shapes_llama import SHAPES as LLAMA_LIKE
from .shapes_others import SHAPES as OTHERS

SHAPES: dict[str, Shape] = {
    "refact-1.6b": refact_shape(PUBLISHED, PUBLISHED_TOKENS),
    **LLAMA_LIKE,
    **OTHERS,
}


def shape_of(name: str) -> Shape:
    """Return a published model's shape.

    Raises:
        OptionError: when there is none of that name; lists those there are.

    """
    if name not in SHAPES:
        raise OptionError(f"shape {name!r}; expected one of: {', '.join(SHAPES)}")
    return SHAPES[name]
