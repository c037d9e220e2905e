"""What is random in no checkpoint of a published model: its config.json and special tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..runtime.bundle.decoder import Decoder
from .refact_shapes import config_sizes
from .starcoder import SPECIAL_TOKENS

STANDARD_DEVIATION = 0.02  # initializer_range of all of them
LAYER_FIELDS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


@dataclass(frozen=True)
class Shape:
    """What is random in no checkpoint of a model.

    Args:
        config: its config.json.
        tokens: ids of its tokenizer.
        specials: ids of the special tokens.

    """

    config: Mapping[str, Any]
    tokens: int
    specials: Mapping[str, int]

    def with_layers(self, layers: int) -> Shape:
        """Return a smaller stand-in, or a larger one."""
        fields = {name: layers for name in LAYER_FIELDS if name in self.config}
        return replace(self, config={**self.config, **fields})


def refact_shape(decoder: Decoder, tokens: int) -> Shape:
    """Return a Refact model of any shape, with the fields of the published config.json."""
    config = {
        "architectures": ["GPTRefactForCausalLM"],
        "model_type": "gpt_refact",
        **config_sizes(decoder),
        "n_inner": None,
        "multi_query": True,
        "eos_token_id": SPECIAL_TOKENS.index("<|endoftext|>"),
        "initializer_range": STANDARD_DEVIATION,
        "torch_dtype": "bfloat16",
    }
    return Shape(config, tokens, numbered(SPECIAL_TOKENS))


def numbered(tokens: tuple[str, ...], first: int = 0) -> dict[str, int]:
    """Return the ids of special tokens that stand one after the other."""
    return {token: first + place for place, token in enumerate(tokens)}
