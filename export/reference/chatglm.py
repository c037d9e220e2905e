"""ChatGLM2 in plain torch: what graphs of OctoGeeX are measured against.

Parameter names and shapes are the checkpoint's. Rotary positions are a product of complex numbers,
of neighbours: the same arithmetic as export's, told otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint import Checkpoint


def rotate_pairs(x: Tensor, base: float) -> Tensor:
    """Rotate numbers 2i and 2i + 1 of the first half of heads [B, T, H, D] by their position."""
    half = x.shape[-1] // 2
    speeds = base ** -(torch.arange(0, half, 2, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * speeds
    rotations = torch.polar(torch.ones_like(angles), angles)[:, None]  # [T, 1, D / 4]
    pairs = x[..., :half].double().reshape(*x.shape[:-1], -1, 2)
    points = torch.view_as_complex(pairs)
    rotated = torch.view_as_real(points * rotations).flatten(-2).to(x.dtype)
    return torch.cat([rotated, x[..., half:]], dim=-1)


class ChatGLM(nn.Module):
    """The whole model, of a checkpoint's config and its tensors by their names."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.config = checkpoint.config
        self.weights = {
            name: torch.from_numpy(checkpoint.read(name))
            for name in checkpoint.tensors
            if not name.endswith("inv_freq")
        }

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits [B, T, V] for ids [B, T]."""
        x = self.weights["transformer.embedding.word_embeddings.weight"][ids]
        for layer in range(self.config["num_layers"]):
            name = f"transformer.encoder.layers.{layer}"
            x = x + self._attention(self._norm(x, f"{name}.input_layernorm"), name)
            x = x + self._mlp(self._norm(x, f"{name}.post_attention_layernorm"), name)
        x = self._norm(x, "transformer.encoder.final_layernorm")
        return self._linear(x, "transformer.output_layer")

    def _attention(self, x: Tensor, name: str) -> Tensor:
        config = self.config
        heads, size = config["num_attention_heads"], config["kv_channels"]
        kv_heads = config["multi_query_group_num"]
        qkv = self._linear(x, f"{name}.self_attention.query_key_value")
        parts = torch.split(qkv.reshape(*x.shape[:-1], -1, size), [heads, kv_heads, kv_heads], 2)
        base = 10000.0 * config.get("rope_ratio", 1)
        q, key = (rotate_pairs(part, base) for part in parts[:2])
        key, value = (part.repeat_interleave(heads // kv_heads, dim=2) for part in (key, parts[2]))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, key) * size**-0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        shares = torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
        mixed = torch.einsum("bhqk,bkhd->bqhd", shares, value).flatten(-2)
        return self._linear(mixed, f"{name}.self_attention.dense")

    def _mlp(self, x: Tensor, name: str) -> Tensor:
        gate, up = self._linear(x, f"{name}.mlp.dense_h_to_4h").chunk(2, dim=-1)
        return self._linear(functional.silu(gate) * up, f"{name}.mlp.dense_4h_to_h")

    def _norm(self, x: Tensor, name: str) -> Tensor:
        mean = x.pow(2).mean(-1, keepdim=True)
        scaled = x * torch.rsqrt(mean + self.config["layernorm_epsilon"])
        return scaled * self.weights[f"{name}.weight"]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(
            x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        )


def load(checkpoint: Checkpoint) -> ChatGLM:
    """Return the model of a checkpoint, by its own config and tensors."""
    return ChatGLM(checkpoint).eval()
