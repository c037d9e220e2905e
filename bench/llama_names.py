"""What llama.cpp calls a decoder and its tensors."""

from __future__ import annotations

from refact_edge.runtime.bundle.decoder import POSITIONS, Alibi, Decoder, Learned, Rotary
from refact_edge.runtime.errors import CheckpointError

WHOLE = {
    "embedding": "token_embd",
    "norm": "output_norm",
    "head": "output",
}
PARTS = {
    "norm1": ("attn_norm",),
    "attention.q": ("attn_q",),
    "attention.kv": ("attn_k", "attn_v"),
    "attention.out": ("attn_output",),
    "norm2": ("ffn_norm",),
    "mlp.gate_up": ("ffn_gate", "ffn_up"),
    "mlp.down": ("ffn_down",),
}


# Where queries, keys and values are one tensor.
FUSED = {
    "norm1": "attn_norm",
    "attention.q": "attn_qkv",
    "attention.kv": "attn_qkv",
    "attention.out": "attn_output",
    "norm2": "ffn_norm",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}
FUSED_ARCHITECTURES = ("starcoder", "gptneox")


def llama_names(name: str) -> tuple[str, ...]:
    """Return the names that a weight's parts have in llama.cpp, in the order of their rows."""
    end = "bias" if name.endswith(".bias") else "weight"
    matrix = name.removesuffix(f".{end}")
    if matrix in WHOLE:
        return (f"{WHOLE[matrix]}.{end}",)
    _, layer, part = matrix.split(".", 2)
    return tuple(f"blk.{layer}.{own}.{end}" for own in PARTS[part])


def llama_architecture(decoder: Decoder) -> str:
    """Return which of llama.cpp's architectures computes what a decoder does.

    Raises:
        CheckpointError: when it is none of those that are written here.

    """
    attention, mlp = decoder.attention, decoder.mlp
    if decoder.norm.bias and not mlp.gated and attention.bias_qkv and attention.bias_out:
        if isinstance(decoder.positions, Learned) and attention.kv_heads == 1:
            return "starcoder"
        if isinstance(decoder.positions, Rotary) and attention.kv_heads == attention.heads:
            return "gptneox"
    plain = mlp.gated and mlp.activation == "silu" and decoder.residual == "sequential"
    plain = plain and not attention.head_norm and not decoder.norm.bias
    if plain and isinstance(decoder.positions, Alibi) and attention.kv_heads == 1:
        return "refact"
    whole = isinstance(decoder.positions, Rotary) and decoder.positions.dims == attention.head_size
    if plain and whole and decoder.norm.kind == "rms":
        only_inputs = attention.bias_qkv and not attention.bias_out and not mlp.bias
        return "qwen2" if only_inputs else "llama"
    raise CheckpointError(
        "llama.cpp's files are written of Refact, StarCoder, StableCode and Llama-likes alone"
    )


def fused_name(name: str) -> str:
    """Return the name of the tensor that a weight lies in, in an architecture with fused ones."""
    if name == POSITIONS:
        return "position_embd.weight"
    if not name.startswith("layers."):
        return llama_names(name)[0]
    _, layer, part = name.split(".", 2)
    end = "bias" if part.endswith(".bias") else "weight"
    return f"blk.{layer}.{FUSED[part.removesuffix(f'.{end}')]}.{end}"
