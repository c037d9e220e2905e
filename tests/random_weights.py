"""Decoders with random packed weights in a file, and what they compute, in double precision."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from refact_edge.runtime.bundle.decoder import (
    EMBEDDING,
    HEAD,
    POSITIONS,
    Alibi,
    Attention,
    Decoder,
    Learned,
    Mlp,
    Norm,
    Rotary,
    weight_shapes,
)
from refact_edge.runtime.bundle.places import NORM_MATRIX, ROTATION, Part, Place

BLOCK = 128
Array = npt.NDArray[np.float64]

LLAMA = Decoder(
    layers=2, width=128, vocabulary=90, context=96, tied=True, norm=Norm("rms", 1e-5),
    positions=Rotary(10_000.0, 24, 2.0),
    attention=Attention(heads=6, kv_heads=2, head_size=24, scale=24**-0.5),
    mlp=Mlp(208, "silu", gated=True), embedding_scale=1.5, logit_scale=0.25,
)  # fmt: skip
NEOX = Decoder(
    layers=2, width=96, vocabulary=77, context=96, tied=False, norm=Norm("layer", 1e-5, bias=True),
    positions=Rotary(10_000.0, 6),
    attention=Attention(4, 4, 20, scale=20**-0.5, bias_qkv=True, bias_out=True),
    mlp=Mlp(256, "gelu", gated=False, bias=True), residual="parallel",
)  # fmt: skip
BIGCODE = Decoder(
    layers=2, width=256, vocabulary=80, context=96, tied=True,
    norm=Norm("layer", 1e-5, bias=True), positions=Learned(100),
    attention=Attention(10, 1, 32, scale=32**-0.5, bias_qkv=True, bias_out=True),
    mlp=Mlp(384, "gelu_tanh", gated=False, bias=True),
)  # fmt: skip
REFACT = Decoder(
    layers=2, width=96, vocabulary=90, context=96, tied=False, norm=Norm("layer", 1e-5),
    positions=Alibi(tuple(2.0 ** -(i + 1) for i in range(6))),
    attention=Attention(6, 1, 16, scale=0.25), mlp=Mlp(256, "silu", gated=True),
)  # fmt: skip
DECODERS = {
    "llama": LLAMA,
    "neox": NEOX,
    "bigcode": BIGCODE,
    "refact": REFACT,
    "one norm, head norms": replace(
        NEOX,
        one_norm=True,
        attention=replace(NEOX.attention, kv_heads=2, head_norm=True),
        mlp=Mlp(256, "gelu", gated=True),
    ),
    "tied, head bias": replace(LLAMA, head_bias=True),
    "head norms, wide groups": replace(
        LLAMA, attention=Attention(40, 2, 16, scale=0.3, head_norm=True), positions=Rotary(5e5, 16)
    ),
}

# Names of decoders whose weights lie by block, as int4 has them, and by row, as int8 does: there no
# head is the embedding.
FORMS = [(name, False) for name in DECODERS] + [
    (name, True) for name, decoder in DECODERS.items() if not decoder.tied
]


class RandomWeights:
    """Weights of a decoder in a file, packed and as numbers."""

    def __init__(
        self,
        decoder: Decoder,
        file: Path,
        seed: int = 0,
        rotation: int = 0,
        *,
        by_row: bool = False,
    ) -> None:
        """Write the file, with a rotation of that many rows if any; matrices by block or by row.

        By row a head has two terms, but one that is the embedding: that is no form of bundles.
        """
        self.decoder, self.file = decoder, file
        self.places: dict[str, Place] = {}
        self.values: dict[str, Array] = {}
        self._rng, self._content = np.random.default_rng(seed), bytearray(8)
        for name, shape in weight_shapes(decoder).items():
            if len(shape) == 2 and name != POSITIONS and by_row:
                self._add_by_row(name, shape)
            elif len(shape) == 2 and name != POSITIONS:
                shared = name == EMBEDDING and decoder.tied
                self._add_matrix(name, shape, 8 if shared or self._rng.random() < 0.4 else 4)
            else:
                centre = 1.0 if name.endswith(("norm.weight", "norm1.weight", "norm2.weight",
                                               "q_norm", "k_norm")) else 0.0  # fmt: skip
                self._add_floats(name, centre + 0.1 * self._rng.standard_normal(shape))
        if rotation:
            matrix, _ = np.linalg.qr(self._rng.standard_normal((rotation, rotation)))
            self._add_floats(ROTATION, matrix)
            if decoder.tied:
                self._add_matrix(NORM_MATRIX, (decoder.width, decoder.width), 8)
        file.write_bytes(self._content)

    def _add(self, array: npt.NDArray[np.generic]) -> Part:
        self._content += bytes(-len(self._content) % 8)
        part = Part(str(array.dtype), array.shape, len(self._content), array.nbytes)
        self._content += array.tobytes()
        return part

    def _add_floats(self, name: str, values: Array) -> None:
        array = values.astype(np.float32)
        self.values[name] = array.astype(np.float64)
        self.places[name] = Place("floats", array.shape, {"values": self._add(array)})

    def _add_matrix(self, name: str, shape: tuple[int, ...], bits: int) -> None:
        rows, cols = shape
        blocks = -(-cols // BLOCK)
        padded = name != EMBEDDING or self.decoder.tied
        width = blocks * BLOCK if padded else cols
        codes = self._rng.integers(0, 256, (rows, width * bits // 8), np.uint8)
        spread = 2.0 / math.sqrt(cols) / 2 ** (bits - 1)
        scales = (spread * self._rng.uniform(0.5, 1, (rows, blocks))).astype(np.float16)
        stored = codes.reshape(rows, blocks, -1) if padded else codes
        parts = {"codes": self._add(stored), "scales": self._add(scales)}
        self.places[name] = Place("blocks", shape, parts, bits, BLOCK)
        if bits == 4:
            codes = np.stack([codes & 15, codes >> 4], -1).reshape(rows, -1)
        numbers = codes[:, :cols].astype(np.float64) - 2 ** (bits - 1)
        self.values[name] = numbers * np.repeat(scales.astype(np.float64), BLOCK, 1)[:, :cols]

    def _add_by_row(self, name: str, shape: tuple[int, ...]) -> None:
        rows, cols = shape
        codes = self._rng.integers(-127, 128, shape).astype(np.int8)
        scales = (2.0 / math.sqrt(cols) / 127 * self._rng.uniform(0.5, 1, rows)).astype(np.float32)
        stored = codes if name == EMBEDDING else np.ascontiguousarray(codes.T)
        parts = {"codes": self._add(stored), "scales": self._add(scales)}
        self.places[name] = Place("rows", shape, parts, terms=2 if name == HEAD else 1)
        self.values[name] = codes.astype(np.float64) * scales[:, None].astype(np.float64)


def logits_of(weights: RandomWeights, ids: npt.NDArray[np.int64]) -> Array:
    """Return the logits [T, V] of a whole text, with activations rounded as the kernels do."""
    return _Reference(weights).logits(ids)


class _Reference:
    def __init__(self, weights: RandomWeights) -> None:
        self.d, self.w, self.places = weights.decoder, weights.values, weights.places

    def logits(self, ids: npt.NDArray[np.int64]) -> Array:
        d, w = self.d, self.w
        x = w[EMBEDDING][ids] * d.embedding_scale
        if isinstance(d.positions, Learned):
            x = x + w[POSITIONS][: len(ids)]
        for index in range(d.layers):
            at = f"layers.{index}"
            before = x
            x = x + self._attention(at, self._norm(f"{at}.norm1", x))
            source = before if d.residual == "parallel" else x
            x = x + self._mlp(at, self._norm(f"{at}.{'norm1' if d.one_norm else 'norm2'}", source))
        x = self._norm("norm", x)
        if NORM_MATRIX in w:
            x = self._rounded(NORM_MATRIX, x) @ w[NORM_MATRIX].T
        head = EMBEDDING if d.tied else HEAD
        logits = self._rounded(head, x) @ w[head].T + w.get(f"{HEAD}.bias", 0.0)
        result: Array = logits * d.logit_scale
        return result

    def _norm(self, name: str, x: Array) -> Array:
        norm = self.d.norm
        if norm.kind == "layer":
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + norm.epsilon) * self.w[f"{name}.weight"]
        result: Array = x + self.w.get(f"{name}.bias", 0.0)
        return result

    def _rounded(self, name: str, x: Array) -> Array:
        terms = self.places[name].terms
        return rounded_by_row(x, terms) if terms else rounded(x)

    def _product(self, name: str, x: Array) -> Array:
        result: Array = self._rounded(name, x) @ self.w[name].T + self.w.get(f"{name}.bias", 0.0)
        return result

    def _attention(self, at: str, x: Array) -> Array:
        a, tokens = self.d.attention, len(x)
        q = self._product(f"{at}.attention.q", x).reshape(tokens, a.heads, a.head_size)
        kv = self._product(f"{at}.attention.kv", x).reshape(tokens, 2, a.kv_heads, a.head_size)
        k, v = kv[:, 0], kv[:, 1]
        if a.head_norm:
            q, k = (self._head_norm(f"{at}.attention.{n}_norm", h) for n, h in (("q", q), ("k", k)))
        if isinstance(self.d.positions, Rotary):
            q, k = (rotary(self.d.positions, h) for h in (q, k))
        k, v = (np.repeat(h, a.heads // a.kv_heads, 1) for h in (k, v))
        scores = np.einsum("thd,shd->hts", q, k) * a.scale
        distance = np.arange(tokens)[:, None] - np.arange(tokens)
        if isinstance(self.d.positions, Alibi):
            scores = scores - np.array(self.d.positions.slopes)[:, None, None] * distance
        scores = np.where(distance < 0, -np.inf, scores)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out = np.einsum("hts,shd->thd", weights, v).reshape(tokens, -1)
        return self._product(f"{at}.attention.out", out)

    def _head_norm(self, name: str, x: Array) -> Array:
        size = np.sqrt((x * x).mean(-1, keepdims=True) + self.d.norm.epsilon)
        result: Array = x / size * self.w[name]
        return result

    def _mlp(self, at: str, x: Array) -> Array:
        mlp = self.d.mlp
        up = self._product(f"{at}.mlp.{'gate_up' if mlp.gated else 'up'}", x)
        out = activated(mlp.activation, up[:, : mlp.hidden])
        if mlp.gated:
            out = out * up[:, mlp.hidden :]
        if ROTATION in self.w:
            matrix = self.w[ROTATION]
            out = (out.reshape(-1, len(matrix)) @ matrix).reshape(out.shape)
        return self._product(f"{at}.mlp.down", out)


def rounded(x: Array) -> Array:
    """Return activations [T, cols] to the nearest of 255 steps a block."""
    tokens, cols = x.shape
    padded = np.zeros((tokens, -(-cols // BLOCK) * BLOCK))
    padded[:, :cols] = x
    blocks = padded.reshape(tokens, -1, BLOCK)
    steps = np.abs(blocks).max(-1, keepdims=True) / 127
    steps[steps == 0] = 1
    result: Array = (np.rint(blocks / steps) * steps).reshape(tokens, -1)[:, :cols]
    return result


def rounded_by_row(x: Array, terms: int) -> Array:
    """Return activations [T, cols] as sums of terms, each to the nearest of 255 steps a token."""
    total = np.zeros_like(x)
    for _ in range(terms):
        steps = np.abs(x - total).max(-1, keepdims=True) / 127
        steps[steps == 0] = 1
        total = total + np.rint((x - total) / steps) * steps
    return total


def rotary(positions: Rotary, x: Array) -> Array:
    """Return heads [T, H, D] with the first `dims` numbers of each rotated by its position."""
    half = positions.dims // 2
    frequencies = positions.base ** (-2.0 * np.arange(half) / positions.dims)
    angles = (np.arange(len(x))[:, None] / positions.factor * frequencies)[:, None]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return np.concatenate(
        [
            first * np.cos(angles) - second * np.sin(angles),
            second * np.cos(angles) + first * np.sin(angles),
            rest,
        ],
        -1,
    )


def activated(name: str, x: Array) -> Array:
    """Return an activation of x."""
    if name == "silu":
        result: Array = x / (1 + np.exp(-x))
    elif name == "gelu":
        result = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    else:
        result = x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return result
