"""GGUF files, as llama.cpp, Ollama and LM Studio have them, read as checkpoints.

Source: the specification of the format and the names of the package `gguf`, which reads it. Weights
below 8 bits were rounded once already; what export rounds is what was left of them.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import CheckpointError, MissingExtraError, one_line
from .checkpoint import Checkpoint, Floating, TensorInfo, open_checkpoint
from .gguf_header import check_header
from .gguf_tokenizer import tokenizer_json

PLAIN_TYPES = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
)  # within what a bfloat16 checkpoint would give, or near
_ALIKE = 0.99  # cosine of one matrix in two precisions

_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ARCHITECTURES = ("llama", "qwen2")
# llama.cpp rotates neighbours in these, and stores queries and keys accordingly.
_PAIRED = ("llama",)
# What reading a damaged file raises.
_WRONG = (
    ValueError, LookupError, TypeError, ArithmeticError, RecursionError, NotImplementedError,
    MemoryError, OSError,
)  # fmt: skip


def open_gguf(file: Path) -> Checkpoint:
    """Open a GGUF file as the checkpoint that it was made from.

    Raises:
        CheckpointError: when it is none, is cut short, or holds a model that is not read from such
            files.
        MissingExtraError: when gguf is not installed.

    """
    check_header(file)
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingExtraError(f"{file.name} is read by gguf, which", "gguf") from error
    try:
        reader = GGUFReader(file)
        keys = {name: field.contents() for name, field in reader.fields.items()}
        return _checkpoint(file, keys, {tensor.name: tensor for tensor in reader.tensors})
    except _WRONG as error:
        raise CheckpointError(
            f"{file} is a damaged GGUF file ({one_line(error) or type(error).__name__}); download "
            "it again"
        ) from error


def open_source(path: Path) -> Checkpoint:
    """Open a checkpoint folder, or a GGUF file, whatever its name.

    Raises:
        CheckpointError: see `open_checkpoint` and `open_gguf`.
        MissingExtraError: see there.

    """
    return open_gguf(path) if path.is_file() else open_checkpoint(path)


def _checkpoint(file: Path, keys: Mapping[str, Any], stored: Mapping[str, Any]) -> Checkpoint:
    architecture = keys.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{file}: general.architecture is {architecture!r:.60}; expected one of "
            f"{', '.join(ARCHITECTURES)}: export others from their original checkpoints"
        )
    if int(keys.get("split.count", 1)) > 1:
        raise CheckpointError(
            f"{file} is one of {keys['split.count']} parts; join them with llama-gguf-split --merge"
        )
    names = {_name(file, name): tensor for name, tensor in stored.items()}
    for tensor in {tensor.tensor_type: tensor for tensor in names.values()}.values():
        _values(tensor, slice(1))  # a type that cannot be read shows here
    tied = _is_tied(names)
    if tied and "lm_head.weight" in names:  # the same matrix, stored better
        names["model.embed_tokens.weight"] = names.pop("lm_head.weight")
    config = _config(file, str(architecture), keys, names, tied=tied)
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    tensors = {
        name: TensorInfo(file, "F32", tuple(int(size) for size in reversed(tensor.shape)))
        for name, tensor in names.items()
    }
    read = functools.partial(_read, names, heads if architecture in _PAIRED else {})
    tokenizer = tokenizer_json(file, keys)
    called = str(keys.get("general.name", ""))
    return Checkpoint(file, config, tensors, (file,), read, tokenizer, _notes(file, names), called)


def _name(file: Path, name: str) -> str:
    """Return the name that a tensor has in a checkpoint."""
    if name in _TOP:
        return _TOP[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    part, _, kind = rest.rpartition(".")
    if part not in _LAYER or not block.isdecimal() or kind not in ("weight", "bias"):
        raise CheckpointError(
            f"{file} holds {one_line(name)}, which no model has that is read here"
        )
    return f"model.layers.{block}.{_LAYER[part]}.{kind}"


def _is_tied(names: Mapping[str, Any]) -> bool:
    """Whether the head is the embedding: missing, or the same matrix in another precision."""
    if "lm_head.weight" not in names:
        return True
    embedding, head = (names[f"{name}.weight"] for name in ("model.embed_tokens", "lm_head"))
    a, b = (_values(tensor, slice(None, None, 97)).ravel() for tensor in (embedding, head))
    return bool(a.shape == b.shape and a @ b > _ALIKE * np.sqrt((a @ a) * (b @ b)))


def _values(tensor: Any, rows: slice = slice(None)) -> Floating:
    """Return rows of a tensor as fp32."""
    from gguf.quants import dequantize

    values: Floating = dequantize(tensor.data[rows], tensor.tensor_type).astype(np.float32)
    return values


def _read(names: Mapping[str, Any], paired: Mapping[str, int], name: str) -> Floating:
    """Return a tensor in its checkpoint's order; `paired` are heads of queries and of keys."""
    values = _values(names[name])
    part = next((part for part in paired if f".{part}_proj." in name), None)
    if part is None:
        return values
    apart = values.reshape(paired[part], -1, 2, *values.shape[1:])
    return np.ascontiguousarray(apart.swapaxes(1, 2)).reshape(values.shape)


def _config(
    file: Path,
    architecture: str,
    keys: Mapping[str, Any],
    names: Mapping[str, Any],
    *,
    tied: bool,
) -> dict[str, Any]:
    """Return the config.json that the keys of a file stand for."""

    def of(key: str, default: Any = None) -> Any:
        return keys.get(f"{architecture}.{key}", default)

    for key in keys:
        if key.startswith((f"{architecture}.expert", f"{architecture}.attention.sliding_window")):
            raise CheckpointError(f"{file}: {key} is {keys[key]!r:.40}, which is not read")
    heads = of("attention.head_count")
    if type(heads) is not int or heads < 1:
        raise CheckpointError(f"{file}: {architecture}.attention.head_count is {heads!r:.40}")
    size = of("attention.key_length", of("embedding_length") // heads)
    if of("rope.dimension_count", size) != size:
        raise CheckpointError(f"{file}: {architecture}.rope.dimension_count is not a whole head")
    epsilon = of("attention.layer_norm_rms_epsilon")
    config = {
        "model_type": architecture,
        "vocab_size": int(names["model.embed_tokens.weight"].shape[1]),
        "hidden_size": of("embedding_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": of("attention.head_count_kv", heads),
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "hidden_act": "silu",
        "rms_norm_eps": None if epsilon is None else float(f"{epsilon:.6g}"),
        "rope_theta": float(of("rope.freq_base", 10000.0)),
        "rope_scaling": _scaling(file, architecture, keys),
        "tie_word_embeddings": tied,
    }
    if architecture == "llama":
        layer = "model.layers.0."
        config["attention_bias"] = f"{layer}self_attn.q_proj.bias" in names
        config["mlp_bias"] = f"{layer}mlp.down_proj.bias" in names
        config["head_dim"] = size
    return {field: _plain(value) for field, value in config.items() if value is not None}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _scaling(file: Path, architecture: str, keys: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how positions are scaled: linearly, where a factor has no type or an older name."""
    name = f"{architecture}.rope.scaling"
    factor = keys.get(f"{name}.factor", keys.get(f"{architecture}.rope.scale_linear"))
    kind = keys.get(f"{name}.type", "none" if factor is None else "linear")
    if kind == "none":
        return None
    if kind != "linear" or factor is None:
        raise CheckpointError(
            f"{file}: positions are scaled by {kind!r:.40} with factor {factor!r:.40}, expected "
            "linear and a number"
        )
    return {"type": "linear", "factor": float(factor)}


def _notes(file: Path, names: Mapping[str, Any]) -> tuple[str, ...]:
    """Tell what was rounded before."""
    types = Counter(tensor.tensor_type.name for tensor in names.values())
    low = [f"{kind} ({count})" for kind, count in types.most_common() if kind not in PLAIN_TYPES]
    if not low:
        return ()
    return (
        f"{file.name}: weights of {', '.join(low)} are rounded a second time; the original "
        "checkpoint would lose less",
    )
