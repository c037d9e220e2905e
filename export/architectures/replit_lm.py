"""ReplitCode v1 in its first layout: MPT under other names, with a flat config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder
from ..fields import Fields
from ..tables import whatever_it_holds
from ..tensors import Table
from ..tokenizer import check_vocabulary as check_vocabulary
from .mpt import FAMILIES as FAMILIES
from .mpt import IGNORED as IGNORED
from .mpt import TENSORS as MPT
from .mpt import ZERO as ZERO
from .mpt import decoder_of

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

_MPT_NAMES = {
    ".ln_1.": ".norm_1.",
    ".ln_2.": ".norm_2.",
    ".mlp.mlp_up.": ".ffn.up_proj.",
    ".mlp.mlp_down.": ".ffn.down_proj.",
    "transformer.ln_f.": "transformer.norm_f.",
}


def mpt_name(name: str) -> str:
    """Return a tensor's name in the second layout."""
    for first, second in _MPT_NAMES.items():
        name = name.replace(first, second)
    return name


def first_name(name: str) -> str:
    """Return a tensor's name in the first layout, of its name in the second."""
    for first, second in _MPT_NAMES.items():
        name = name.replace(second, first)
    return name


# Queries, keys and values lie in one tensor, of the same name in both.
TENSORS: Table = {
    role: first_name(source) if isinstance(source, str) else source for role, source in MPT.items()
}
tensors = whatever_it_holds(TENSORS)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json."""
    fields = Fields(config, problems)
    fields.expect("mlp_ratio", config.get("mlp_ratio") == 4, "4")
    return decoder_of(fields, fields, "attn_clip_qkv", "attn_qk_ln")


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' MPT with the checkpoint's weights, which fit it under other names."""
    from ..reference.transformers_class import load

    config = {field: checkpoint.config[field] for field in _SIZES}
    return load(checkpoint, "mpt", config=config, named=mpt_name)


_SIZES = ("n_layers", "d_model", "n_heads", "vocab_size", "max_seq_len")
