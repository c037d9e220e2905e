"""transformers' own class of an architecture, as a reference that knows nothing of our facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ...runtime.errors import CheckpointError, MissingExtraError
from ..checkpoint import Checkpoint

# What a config class is not made with.
_BASES, _SHARES = ("rope_theta", "rotary_emb_base"), ("partial_rotary_factor", "rotary_pct")
_NOT_FIELDS = ("model_type", "architectures", "auto_map", "transformers_version")


class _Logits(nn.Module):
    """A model of transformers' that returns logits alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits [B, T, V] of ids [B, T]."""
        logits: torch.Tensor = self.model(ids, use_cache=False).logits
        return logits


def load(
    checkpoint: Checkpoint,
    model_type: str,
    *,
    config: Mapping[str, Any] | None = None,
    named: Callable[[str], str] = lambda name: name,
) -> nn.Module:
    """Return the class of that type, in fp32, with a checkpoint's weights; no code of its is run.

    Where the class has other words than the checkpoint, `config` is what it is made with, and
    `named` returns its name of a tensor.

    Raises:
        MissingExtraError: when transformers is not installed.
        CheckpointError: when the class has other tensors than the checkpoint.

    """
    try:
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as error:
        raise MissingExtraError("transformers", "verify") from error
    own = _as_version_4(checkpoint.config if config is None else config)
    content = {field: value for field, value in own.items() if field not in _NOT_FIELDS}
    settings = AutoConfig.for_model(model_type, **content)
    auto: Any = AutoModelForCausalLM  # transformers leaves its methods untyped
    with torch.device("meta"):
        model = auto.from_config(settings, attn_implementation="eager", dtype=torch.float32)
    tensors = {named(name): torch.from_numpy(checkpoint.read(name)) for name in checkpoint.tensors}
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    tied = set(model._tied_weights_keys or ()) if settings.tie_word_embeddings else set()
    more = [name for name in unexpected if not name.endswith("inv_freq")]
    if missing := [name for name in missing if name not in tied] or more:
        raise CheckpointError(f"transformers' {model_type} has other tensors: {missing[:3]}")
    return _Logits(_with_buffers(model)).eval()


def _with_buffers(model: Any) -> Any:
    """Compute what was left on the meta device: tables of positions, which no file holds."""
    for module in model.modules():
        if hasattr(module, "rope_init_fn"):
            frequencies, module.attention_scaling = module.rope_init_fn(module.config, "cpu")
            module.register_buffer("inv_freq", frequencies, persistent=False)
            module.original_inv_freq = frequencies
    return model


def _as_version_4(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config with positions as versions 4 and 5 both read them.

    Version 4 knows no `rope_parameters`, and would take its own default for what they say.
    """
    newer = config.get("rope_parameters")
    if not isinstance(newer, dict):
        return config
    older = {key: value for key, value in config.items() if key != "rope_parameters"}
    base, share = newer.get("rope_theta"), newer.get("partial_rotary_factor")
    for fields, value in ((_BASES, base), (_SHARES, share)):
        if value is not None:
            older |= dict.fromkeys(fields, value)
    if newer.get("rope_type", "default") != "default":
        other = ("rope_theta", "partial_rotary_factor")
        older["rope_scaling"] = {k: v for k, v in newer.items() if k not in other}
    return older
