"""Mistral, as Codestral is one: Llama, with attention in a window where config.json says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder
from .. import families
from ..fields import Fields
from ..llama_like import IGNORED as IGNORED
from ..llama_like import ZERO as ZERO
from ..llama_like import Wording, decoder_of, window_of
from ..llama_like import tensors as tensors
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

_WORDING = Wording(windows=True)
FAMILIES = (families.CODESTRAL, families.LLAMA2, families.PLAIN)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json, which must say if there is a window: absent it has meant two things."""
    fields = Fields(config, problems)
    fields.optional_size("context", "sliding_window")
    fields.expect("sliding_window", "sliding_window" in config, "null or a whole number")
    facts = decoder_of(config, problems, bias_qkv=False, bias_out=False, wording=_WORDING)
    if facts is None or not fields.right:
        return None
    return replace(facts, attention=replace(facts.attention, window=window_of(config)))


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "mistral")
