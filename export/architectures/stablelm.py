"""StableLM, as stable-code-3b is one: Llama with layer norms and rotation of a share of heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder, Norm
from .. import families
from ..fields import Fields
from ..llama_like import IGNORED as IGNORED
from ..llama_like import ZERO as ZERO
from ..llama_like import Wording, decoder_of
from ..llama_like import tensors as tensors
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.STABLE_CODE, families.PLAIN)
_WORDING = Wording("layer_norm_eps", partial=True)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; parallel layers, which other sizes have, share one norm."""
    fields = Fields(config, problems)
    biased = fields.flag("use_qkv_bias")
    normed = fields.flag("qk_layernorm")
    fields.expect("qk_layernorm", not normed, "false: layer norms of heads are not supported")
    parallel = fields.flag("use_parallel_residual")
    facts = decoder_of(config, problems, bias_qkv=biased, bias_out=False, wording=_WORDING)
    if facts is None or not fields.right:
        return None
    return replace(
        facts,
        norm=Norm("layer", facts.norm.epsilon, bias=True),
        residual="parallel" if parallel else "sequential",
        one_norm=parallel,
    )


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "stablelm")
