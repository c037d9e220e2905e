"""Mistral, as Codestral is one: Llama, where its attention has no window."""

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

FAMILIES = (families.CODESTRAL, families.LLAMA2, families.PLAIN)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json."""
    return decoder_of(config, problems, bias_qkv=False, bias_out=False)


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "mistral")
