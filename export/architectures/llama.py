"""Llama, and the many that are one under other names: RMSNorm, rotary positions, SwiGLU.

SmolLM2, DeepSeek-Coder, CodeGen2.5, Mellum-4b, Seed-Coder and Granite Code (with all biases) say
`llama`; prompts.py tells them apart by their tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.decoder import Decoder
from .. import families
from ..fields import Fields
from ..llama_like import IGNORED as IGNORED
from ..llama_like import ZERO as ZERO
from ..llama_like import decoder_of
from ..llama_like import tensors as tensors
from ..tokenizer import check_vocabulary as check_vocabulary

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint

FAMILIES = (
    families.CODELLAMA,
    families.CODEGEN25,
    families.DEEPSEEK_CODER,
    families.SEED_CODER,
    families.GRANITE_CODE,
    families.MELLUM,
    families.STARCODER,
    families.SMOLLM,
    families.CHATML,
    families.LLAMA2,
    families.PLAIN,
)


def decoder(config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
    """Read config.json; `attention_bias` is of all four products, `mlp_bias` of all three."""
    fields = Fields(config, problems)
    attention, mlp = (fields.flag(f"{part}_bias") for part in ("attention", "mlp"))
    return decoder_of(config, problems, bias_qkv=attention, bias_out=attention, bias_mlp=mlp)


def reference(checkpoint: Checkpoint) -> nn.Module:
    """Return transformers' own class with the checkpoint's weights."""
    from ..reference.transformers_class import load

    return load(checkpoint, "llama")
