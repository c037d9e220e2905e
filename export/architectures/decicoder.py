"""DeciCoder: a Llama in all but its name, with 4 key and value heads in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder
from .. import families
from ..llama_like import IGNORED as IGNORED
from ..llama_like import ZERO as ZERO
from ..llama_like import decoder_of
from ..llama_like import tensors as tensors
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (families.STARCODER,)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; its `naive_attention_...` flags choose between equal computations."""
    return decoder_of(config, problems, bias_qkv=False, bias_out=False)


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' Llama with the checkpoint's weights, which fit it as they are."""
    from ..reference.transformers_class import load

    return load(checkpoint, "llama")
