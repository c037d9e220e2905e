"""GPTRefact in plain torch: what graphs are measured against, and what the demo trains.

Parameter names and shapes are those of the published checkpoint in its fused layout. The whole
sequence is evaluated at once: there is no cache, so that there is little to get wrong.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint import Checkpoint


def alibi_slopes(heads: int) -> list[float]:
    """Return one ALiBi slope a head (Press et al. 2022, with their rule for odd head counts)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 / power * (h + 1)) for h in range(power)]
    slopes += [2 ** (-4 / power * (2 * h + 1)) for h in range(heads - power)]
    return slopes


class Attention(nn.Module):
    """Causal attention with one key/value head shared by all query heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, width // heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * self.head_size, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Map [B, T, E] to [B, T, E]; `bias` [H, T, T] holds ALiBi and the causal mask."""
        batch, tokens, width = x.shape
        q = self.q(x).view(batch, tokens, self.heads, self.head_size).transpose(1, 2)
        key, value = self.kv(x).split(self.head_size, dim=-1)
        scores = q @ key.transpose(1, 2).unsqueeze(1) / math.sqrt(self.head_size)
        weights = torch.softmax(scores.float() + bias, dim=-1).to(value.dtype)
        mixed = (weights @ value.unsqueeze(1)).transpose(1, 2).reshape(batch, tokens, width)
        out: Tensor = self.c_proj(mixed)
        return out


class MLP(nn.Module):
    """SwiGLU: c_proj(silu(gate) * up), gate in the first half of the rows."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(width, 2 * inner, bias=False)
        self.c_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, T, E] to [B, T, E]."""
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        out: Tensor = self.c_proj(functional.silu(gate) * up)
        return out


class Block(nn.Module):
    """One layer: attention, then MLP, each on the normed stream and added back to it."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=epsilon, bias=False)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=epsilon, bias=False)
        self.mlp = MLP(width, inner)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Map [B, T, E] to [B, T, E]."""
        x = x + self.attn(self.ln_1(x), bias)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Trunk(nn.Module):
    """Embedding and layers, under the names they have in the checkpoint."""

    def __init__(self, wte: nn.Embedding, layers: list[Block]) -> None:
        super().__init__()
        self.wte = wte
        self.h = nn.ModuleList(layers)


class GPTRefact(nn.Module):
    """The whole model. `inner` is the width of the MLP; embeddings are not tied."""

    def __init__(
        self, *, vocabulary: int, width: int, heads: int, layers: int, inner: int, epsilon: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.transformer = Trunk(
            nn.Embedding(vocabulary, width),
            [Block(width, heads, inner, epsilon) for _ in range(layers)],
        )
        self.ln_f = nn.LayerNorm(width, eps=epsilon, bias=False)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def attention_bias(self, tokens: int, device: torch.device) -> Tensor:
        """Return slope * (j - i) where key j is visible from query i, else -inf: [H, T, T], fp32.

        The published code adds slope * j instead; the two differ by a constant a row, which
        softmax cancels, and this one keeps its precision far from position 0.
        """
        slopes = torch.tensor(alibi_slopes(self.heads), device=device)
        position = torch.arange(tokens, device=device)
        distance = position[None, :] - position[:, None]
        bias = slopes[:, None, None] * distance
        return bias.masked_fill(distance > 0, float("-inf"))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits [B, T, V] for ids [B, T]."""
        bias = self.attention_bias(ids.shape[1], ids.device)
        x = self.transformer.wte(ids)
        for block in self.transformer.h:
            x = block(x, bias)
        logits: Tensor = self.lm_head(self.ln_f(x))
        return logits


def load(checkpoint: Checkpoint) -> GPTRefact:
    """Return the model of a checkpoint, by its own config and tensors."""
    config, names = checkpoint.config, checkpoint.tensors
    inner = names[f"{_MLP.format(0)}.c_proj.weight"].shape[1]
    with torch.device("meta"):
        model = GPTRefact(
            vocabulary=config["vocab_size"],
            width=config["n_embd"],
            heads=config["n_head"],
            layers=config["n_layer"],
            inner=inner,
            epsilon=config["layer_norm_epsilon"],
        )
    state = {}
    for name in model.state_dict():
        parts = [name] if name in names else _parts(name)
        arrays = [torch.from_numpy(checkpoint.read(part)) for part in parts]
        state[name] = arrays[0] if len(arrays) == 1 else torch.cat(arrays)
    model.load_state_dict(state, assign=True)
    return model


_MLP = "transformer.h.{}.mlp"
# Of the earlier layout: what is one matrix today.
_APART = {
    ".attn.kv.": (".attn.k.", ".attn.v."),
    ".mlp.gate_up_proj.": (".mlp.linear_1.", ".mlp.linear_3."),
}


def _parts(name: str) -> list[str]:
    """Return the tensors of the earlier layout that a weight is stacked from."""
    whole = next(part for part in _APART if part in name)
    return [name.replace(whole, part) for part in _APART[whole]]
