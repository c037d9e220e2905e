"""Gemma, as CodeGemma is one: embeddings are scaled, norms multiply with 1 + weight."""

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
from ..llama_like import Wording, decoder_of
from ..sources import OnePlus
from ..tables import whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.CODEGEMMA, families.PLAIN)

_NORMS = ("layers.{}.norm1.weight", "layers.{}.norm2.weight", "norm.weight")
TENSORS: Table = {**LLAMA, **{role: OnePlus(str(LLAMA[role])) for role in _NORMS}}
_MEANT = "gelu_pytorch_tanh"
_WORDING = Wording(activations=("gelu", "gelu_tanh"), tied=True)
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json.

    Files that say `hidden_act` is "gelu" mean the approximation by tanh, with which these models
    were trained; transformers' documentation says so, and 4.57 forgets it. Embeddings are scaled by
    the root of the width in fp32; where the published model runs in bfloat16, that root is rounded:
    45.25 and not 45.2548.
    """
    fields = Fields(config, problems)
    fields.sizes({"head_size": "head_dim"})
    newer = config.get("hidden_activation")
    tanh = newer in (None, _MEANT)
    fields.expect("hidden_activation", tanh, f"{_MEANT!r} or absent")
    biased = fields.flag("attention_bias")
    facts = decoder_of(config, problems, bias_qkv=biased, bias_out=biased, wording=_WORDING)
    if facts is None or not fields.right:
        return None
    return replace(
        facts,
        mlp=replace(facts.mlp, activation="gelu_tanh"),
        embedding_scale=facts.width**0.5,
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights, and the activation meant."""
    from ..reference.transformers_class import load

    return load(checkpoint, "gemma", config={**checkpoint.config, "hidden_act": _MEANT})
