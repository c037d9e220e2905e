"""GPTRefact: MQA with ALiBi, weight-only LayerNorm, SwiGLU, untied embeddings, no bias.

Sources: the configuration and modelling code published with smallcloudai/Refact-1_6B-fim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder
from ..families import REFACT
from ..fields import Fields
from ..refact_shapes import (
    PUBLISHED,
    PUBLISHED_TOKENS,
    SIZES,
    config_sizes,
    is_published,
    of_shape,
)
from ..sources import Stacked
from ..tensors import Table

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

ARCHITECTURE = "GPTRefactForCausalLM"
FAMILIES = (REFACT,)
IGNORED: tuple[str, ...] = ()
ZERO = ("ln_f.bias",)  # untrained, in some files

FUSED: Table = {
    "embedding": "transformer.wte.weight",
    "layers.{}.norm1.weight": "transformer.h.{}.ln_1.weight",
    "layers.{}.attention.q": "transformer.h.{}.attn.q.weight",
    "layers.{}.attention.kv": "transformer.h.{}.attn.kv.weight",
    "layers.{}.attention.out": "transformer.h.{}.attn.c_proj.weight",
    "layers.{}.norm2.weight": "transformer.h.{}.ln_2.weight",
    "layers.{}.mlp.gate_up": "transformer.h.{}.mlp.gate_up_proj.weight",
    "layers.{}.mlp.down": "transformer.h.{}.mlp.c_proj.weight",
    "norm.weight": "ln_f.weight",
    "head": "lm_head.weight",
}
# The earlier layout, with keys apart from values and gate from up.
UNFUSED: Table = {
    **FUSED,
    "layers.{}.attention.kv": Stacked(
        ("transformer.h.{}.attn.k.weight", "transformer.h.{}.attn.v.weight")
    ),
    "layers.{}.mlp.gate_up": Stacked(
        ("transformer.h.{}.mlp.linear_1.weight", "transformer.h.{}.mlp.linear_3.weight")
    ),
}


def tensors(names: set[str]) -> Table:
    """Return the table of the layout, fused or unfused, that the names follow."""
    unfused = any(name.endswith((".attn.k.weight", ".mlp.linear_1.weight")) for name in names)
    return UNFUSED if unfused else FUSED


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; no size is ever filled in from a default."""
    fields = Fields(config, problems)
    fields.sizes(SIZES)
    fields.epsilon("layer_norm_epsilon")
    fields.equal("architectures", [ARCHITECTURE])
    fields.expect("multi_query", config.get("multi_query") is True, "true: one key/value head")
    width = config.get("n_embd")
    fields.expect("n_embd", not isinstance(width, int) or width % 2 == 0, "an even number")
    fields.expect("n_inner", config.get("n_inner") is None, "null")
    fields.expect("eos_token_id", config.get("eos_token_id") == 0, "0")
    tied = config.get("tie_word_embeddings")
    fields.expect("tie_word_embeddings", not tied, "false or absent")
    if not fields.right:
        return None
    if not fields.divides("n_head", "n_embd"):
        return None
    sizes = {size: config[field] for size, field in SIZES.items()}
    facts = of_shape(**sizes, epsilon=config["layer_norm_epsilon"])
    _check_published(facts, fields)
    return facts


def _check_published(facts: Decoder, fields: Fields) -> None:
    for field, value in config_sizes(PUBLISHED).items() if is_published(facts) else ():
        padded = field == "vocab_size" and fields.config[field] >= PUBLISHED_TOKENS
        same = fields.config[field] == value or padded
        fields.expect(field, same, f"{value} as in the published 1.6B model")


def check_vocabulary(decoder: Decoder, tokens: int, problems: list[str]) -> None:
    """Compare the tokenizer's size with the embedding's; rows beyond it are padding."""
    if tokens > decoder.vocabulary:
        problems.append(
            f"tokenizer.json has {tokens} tokens, more than the {decoder.vocabulary} rows of wte"
        )
    if is_published(decoder) and tokens not in (0, PUBLISHED_TOKENS):
        problems.append(f"tokenizer.json has {tokens} tokens, expected {PUBLISHED_TOKENS}")


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return our torch module with the checkpoint's weights."""
    from ..reference.gpt_refact import load

    return load(checkpoint)
