"""StarCoder2: rotary positions, biases everywhere, attention in a window, a plain MLP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder, Mlp, Norm
from .. import families
from ..fields import PLAIN_ACTIVATIONS, Fields
from ..llama_like import IGNORED as IGNORED
from ..llama_like import TENSORS as LLAMA
from ..llama_like import ZERO as ZERO
from ..llama_like import Wording, decoder_of, window_of
from ..tables import matrix, whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.STARCODER2, families.STARCODER, families.PLAIN)

_LAYER = "model.layers.{}.mlp."
TENSORS: Table = {
    **LLAMA,
    **matrix("layers.{}.mlp.up", f"{_LAYER}c_fc"),
    **matrix("layers.{}.mlp.down", f"{_LAYER}c_proj"),
}
_WORDING = Wording("norm_epsilon", PLAIN_ACTIVATIONS, tied=True, windows=True)
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; `use_bias` is of all products, and norms have one always."""
    fields = Fields(config, problems)
    biased = fields.flag("use_bias", True)
    fields.optional_size("context", "sliding_window")
    if not fields.right:
        return None
    facts = decoder_of(config, problems, bias_qkv=biased, bias_out=biased, wording=_WORDING)
    if facts is None:
        return None
    return replace(
        facts,
        norm=Norm("layer", facts.norm.epsilon, bias=True),
        attention=replace(facts.attention, window=window_of(config)),
        mlp=Mlp(facts.mlp.hidden, facts.mlp.activation, gated=False, bias=biased),
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "starcoder2")
