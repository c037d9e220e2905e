"""A tiny ChatGLM2 with the parameters of a checkpoint, computed by export's own reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from refact_edge.export.reference.chatglm import ChatGLM


class _Model(ChatGLM):
    """The reference, with weights that can be saved."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        nn.Module.__init__(self)
        self.config, self.weights = dict(config), dict(weights)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights by their names in a checkpoint."""
        return {name: tensor.bfloat16() for name, tensor in self.weights.items()}

    def forward(self, ids: torch.Tensor) -> Any:
        """Return logits as transformers' models do."""
        return SimpleNamespace(logits=super().forward(ids))


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a checkpoint, as the published code has them."""
    width, hidden, size = (
        config[name] for name in ("hidden_size", "ffn_hidden_size", "kv_channels")
    )
    inside = config["num_attention_heads"] * size
    qkv = inside + 2 * config["multi_query_group_num"] * size
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.embedding.word_embeddings.weight": (config["padded_vocab_size"], width),
        "transformer.encoder.final_layernorm.weight": (width,),
        "transformer.output_layer.weight": (config["padded_vocab_size"], width),
    }
    for layer in range(config["num_layers"]):
        shapes |= {
            f"transformer.encoder.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm.weight": (width,),
                "self_attention.query_key_value.weight": (qkv, width),
                "self_attention.query_key_value.bias": (qkv,),
                "self_attention.dense.weight": (width, inside),
                "post_attention_layernorm.weight": (width,),
                "mlp.dense_h_to_4h.weight": (2 * hidden, width),
                "mlp.dense_4h_to_h.weight": (width, hidden),
            }.items()
        }
    return shapes


def chatglm_model(config: Mapping[str, Any]) -> Any:
    """Return a model with weights that are always the same, and not small."""
    random = torch.Generator().manual_seed(3)
    weights = {}
    for name, shape in _shapes(config).items():
        values = torch.randn(math.prod(shape), generator=random).reshape(shape)
        values *= shape[-1] ** -0.5 if len(shape) == 2 else 0.3
        norm = len(shape) == 1 and name.endswith("weight")
        weights[name] = (values + norm).bfloat16().float()
    return _Model(config, weights)
