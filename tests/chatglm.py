"""A tiny ChatGLM2 with the parameters of a checkpoint, computed by export's own reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from refact_edge.export.architectures import chatglm
from refact_edge.export.reference.chatglm import ChatGLM
from refact_edge.export.tensors import Tensors


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


def chatglm_model(config: Mapping[str, Any]) -> Any:
    """Return a model with weights that are always the same, and not small."""
    decoder = chatglm.decoder(config, [])
    assert decoder is not None
    random = torch.Generator().manual_seed(3)
    weights = {}
    for name, shape in Tensors(decoder, chatglm.TENSORS).expected().items():
        values = torch.randn(math.prod(shape), generator=random).reshape(shape)
        values *= shape[-1] ** -0.5 if len(shape) == 2 else 0.3
        norm = len(shape) == 1 and name.endswith("weight")
        weights[name] = (values + norm).bfloat16().float()
    return _Model(config, weights)
