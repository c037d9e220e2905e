"""Qwen3: Llama with norms of the heads of queries and keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder
from .. import families
from ..fields import Fields
from ..llama_like import IGNORED as IGNORED
from ..llama_like import TENSORS as LLAMA
from ..llama_like import ZERO as ZERO
from ..llama_like import decoder_of
from ..tables import whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.QWEN3, families.CHATML, families.PLAIN)

_LAYER = "model.layers.{}.self_attn."
TENSORS: Table = {
    **LLAMA,
    "layers.{}.attention.q_norm": f"{_LAYER}q_norm.weight",
    "layers.{}.attention.k_norm": f"{_LAYER}k_norm.weight",
}
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; heads are wider than their share of the stream, and must say how wide."""
    fields = Fields(config, problems)
    fields.sizes({"head_size": "head_dim"})
    biased = fields.flag("attention_bias")
    facts = decoder_of(config, problems, bias_qkv=biased, bias_out=biased)
    if facts is None or not fields.right:
        return None
    return replace(facts, attention=replace(facts.attention, head_norm=True))


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "qwen3")
