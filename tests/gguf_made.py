"""Checkpoints as GGUF files, written as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from refact_edge.export.checkpoint import open_checkpoint

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
Q8_0, F16, Q4_0 = (
    gguf.GGMLQuantizationType.Q8_0,
    gguf.GGMLQuantizationType.F16,
    gguf.GGMLQuantizationType.Q4_0,
)


def write_gguf(
    checkpoint: Path,
    file: Path,
    *,
    pre: str | None,
    form: gguf.GGMLQuantizationType | None = None,
    more: Mapping[str, Any] | None = None,
    also: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a Llama or Qwen2; matrices in a `form`, or fp32.

    Args:
        checkpoint: its folder.
        file: the file to write.
        pre: llama.cpp's name for the pre-tokenizer; None for SentencePiece's pieces.
        form: of matrices whose rows fill its blocks.
        more: keys, in place of those that the checkpoint gives; None leaves one out.
        also: tensors beside the checkpoint's, by their names in the file.

    """
    source = open_checkpoint(checkpoint)
    config, architecture = source.config, source.config["model_type"]
    writer = gguf.GGUFWriter(file, architecture)
    heads = config["num_attention_heads"]
    scaling = config.get("rope_scaling") or {}
    keys: dict[str, Any] = {
        "general.name": "Tiny",
        f"{architecture}.context_length": config["max_position_embeddings"],
        f"{architecture}.embedding_length": config["hidden_size"],
        f"{architecture}.block_count": config["num_hidden_layers"],
        f"{architecture}.feed_forward_length": config["intermediate_size"],
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": config.get("num_key_value_heads", heads),
        f"{architecture}.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        f"{architecture}.rope.freq_base": float(config["rope_theta"]),
        **{f"{architecture}.rope.scaling.{key}": value for key, value in scaling.items()},
        **_tokenizer(checkpoint, pre),
        **(more or {}),
    }
    for key, value in keys.items():
        if value is not None:
            add_key(writer, key, value)
    for name in source.tensors:
        values, own = source.read(name), _name(name)
        if architecture == "llama" and ".attn_q." in own:
            values = _in_pairs(values, heads)
        if architecture == "llama" and ".attn_k." in own:
            values = _in_pairs(values, config.get("num_key_value_heads", heads))
        _add_tensor(writer, own, values, form)
    for name, values in (also or {}).items():
        _add_tensor(writer, name, values, None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def add_key(writer: Any, key: str, value: Any) -> None:
    """Add a key of the type that its value has."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _add_tensor(writer: Any, name: str, values: Any, form: Any) -> None:
    if form is None or values.ndim < 2 or values.shape[1] % 32:
        writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, form), raw_dtype=form)


def _name(name: str) -> str:
    matrix, _, kind = name.rpartition(".")
    if matrix in _NAMES:
        return f"{_NAMES[matrix]}.{kind}"
    _, _, layer, part = matrix.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.{kind}"


def _in_pairs(values: Any, heads: int) -> Any:
    """Return rows of heads as llama.cpp rotates them: number i beside i + half."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _tokenizer(checkpoint: Path, pre: str | None) -> dict[str, Any]:
    content = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    model, added = content["model"], {token["id"] for token in content["added_tokens"]}
    names = sorted(model["vocab"], key=model["vocab"].__getitem__)
    ids = {token["id"]: token["content"] for token in content["added_tokens"]}
    tokens = [*names, *(ids[i] for i in range(len(names), len(names) + len(ids)) if i in ids)]
    padding = [f"[PAD{i}]" for i in range(3)]
    types = [_type_of(i, token, added) for i, token in enumerate(tokens)]
    start = tokens.index("<s>") if "<s>" in tokens else None
    keys: dict[str, Any] = {
        "tokenizer.ggml.model": "llama" if pre is None else "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [*tokens, *padding],
        "tokenizer.ggml.token_type": [*types, *[5] * len(padding)],
        "tokenizer.ggml.bos_token_id": start,
        "tokenizer.ggml.add_bos_token": start is not None,
    }
    if pre is None:
        scores = [-float(i) for i in range(len(tokens) + len(padding))]
        return {**keys, "tokenizer.ggml.scores": scores}
    return {**keys, "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]]}


def _type_of(place: int, token: str, added: set[int]) -> int:
    """Return llama.cpp's type of a token: normal, unknown, control or a byte."""
    if token == "<unk>":
        return 2
    return 3 if place in added else 6 if token.startswith("<0x") else 1
