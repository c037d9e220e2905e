"""Turn a GGUF file of a Llama-like decoder into a checkpoint folder.

Usage: python -m bench.real.gguf_checkpoint MODEL.gguf FOLDER [--dtype bf16|fp16|fp32]

Weights become what their codes stand for, under the names that transformers gives them. Runs where
gguf, safetensors and ml_dtypes are installed, and imports nothing else of ours. What it does not
know is an error that says what was found and what was expected.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from bench.llama_rows import INTERLEAVED, in_halves

from .gguf_tokenizer import UnknownFormError, tokenizer_files

Floating = npt.NDArray[np.float32]
Fields = Mapping[str, Any]

DTYPES = {"bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32}
TORCH_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
# Two copies of one matrix, rounded to two formats, are as alike as this at least.
SAME_MATRIX = 0.99


@dataclass(frozen=True)
class Family:
    """An architecture of llama.cpp's, and what transformers calls it."""

    class_name: str
    model_type: str


FAMILIES = {
    "llama": Family("LlamaForCausalLM", "llama"),
    "qwen2": Family("Qwen2ForCausalLM", "qwen2"),
}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
OUTSIDE = {
    "token_embd.weight": EMBEDDING,
    "output_norm.weight": "model.norm.weight",
    "output.weight": HEAD,
}
IN_LAYERS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Header:
    """The fields of a GGUF file, and what they say of its decoder."""

    fields: Fields

    @property
    def architecture(self) -> str:
        """As llama.cpp names it."""
        return str(self.fields.get("general.architecture"))

    @property
    def family(self) -> Family:
        """What is known of the architecture.

        Raises:
            UnknownFormError: when it is none of `FAMILIES`, or uses what is not read here.

        """
        name = self.architecture
        if name not in FAMILIES:
            raise UnknownFormError("general.architecture", name, ", ".join(FAMILIES))
        for key, value in self.fields.items():
            if key.startswith((f"{name}.rope.scaling", f"{name}.expert")):
                raise UnknownFormError(key, value, "no such field")
        return FAMILIES[name]

    def check(self) -> None:
        """Refuse what is not known here, before any weight is read.

        Raises:
            UnknownFormError: naming it.

        """
        _ = self.family, self.head_size  # each refuses its own

    def size(self, key: str, default: int | None = None) -> Any:
        """Return a number of the architecture's own.

        Raises:
            UnknownFormError: when it is not there and has no default.

        """
        value = self.fields.get(f"{self.architecture}.{key}", default)
        if value is None:
            raise UnknownFormError(f"{self.architecture}.{key}", None, "a number")
        return value

    @property
    def heads(self) -> int:
        """Query heads."""
        return int(self.size("attention.head_count"))

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return int(self.size("attention.head_count_kv", self.heads))

    @property
    def head_size(self) -> int:
        """Width of a head.

        Raises:
            UnknownFormError: when only a part of it is rotated.

        """
        width = int(self.size("attention.key_length", self.size("embedding_length") // self.heads))
        if (rotated := self.size("rope.dimension_count", width)) != width:
            raise UnknownFormError(f"{self.architecture}.rope.dimension_count", rotated, str(width))
        return width


def tensor_name(name: str) -> str:
    """Return what transformers calls a tensor.

    Raises:
        UnknownFormError: when it is none of a Llama-like decoder's.

    """
    if name in OUTSIDE:
        return OUTSIDE[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    part, _, end = rest.rpartition(".")
    if not block.isdigit() or part not in IN_LAYERS or end not in ("weight", "bias"):
        raise UnknownFormError("tensor", name, "one of a Llama-like decoder")
    return f"model.layers.{block}.{IN_LAYERS[part]}.{end}"


def converted(name: str, values: Floating, header: Header) -> tuple[str, Floating]:
    """Return a tensor as transformers has it: its name and its values.

    Raises:
        UnknownFormError: when it is unknown or holds a value that is not finite.

    """
    own = tensor_name(name)
    if not np.isfinite(values).all():
        raise UnknownFormError(name, "values that are not finite", "finite ones")
    interleaved = header.architecture in INTERLEAVED
    if interleaved and ".self_attn.q_proj." in own:
        values = in_halves(values, header.heads)
    if interleaved and ".self_attn.k_proj." in own:
        values = in_halves(values, header.kv_heads)
    return own, values


def tie(tensors: dict[str, npt.NDArray[Any]]) -> bool:
    """Join embedding and head where they are one matrix; return whether they are.

    A tied matrix may stand twice in a file, in two formats; the head's is the finer one.
    """
    if HEAD not in tensors:
        return True
    one, other = (tensors[name].astype(np.float32)[::7].ravel() for name in (EMBEDDING, HEAD))
    if float(one @ other) < SAME_MATRIX * float(np.sqrt((one @ one) * (other @ other))):
        return False
    tensors[EMBEDDING] = tensors.pop(HEAD)
    return True


def config_of(header: Header, names: Iterable[str], tied: bool, dtype: str) -> dict[str, Any]:
    """Return config.json, as transformers writes it."""
    fields, size, family = header.fields, header.size, header.family
    own: dict[str, Any]
    if family.model_type == "qwen2":
        own = {"use_sliding_window": False}
    else:
        biased = "model.layers.0.self_attn.q_proj.bias" in set(names)
        own = {"attention_bias": biased, "mlp_bias": False, "head_dim": header.head_size}
    return {
        "architectures": [family.class_name],
        "model_type": family.model_type,
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "hidden_act": "silu",
        "hidden_size": size("embedding_length"),
        "intermediate_size": size("feed_forward_length"),
        "max_position_embeddings": size("context_length"),
        "num_attention_heads": header.heads,
        "num_hidden_layers": size("block_count"),
        "num_key_value_heads": header.kv_heads,
        # 32 bits hold 9.9999999e-06 for what was published as 1e-5.
        "rms_norm_eps": float(f"{size('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_scaling": None,
        "rope_theta": float(size("rope.freq_base")),
        "tie_word_embeddings": tied,
        "torch_dtype": TORCH_NAMES[dtype],
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        **own,
    }


def convert(
    tensors: Iterable[tuple[str, Callable[[], Floating]]],
    header: Header,
    folder: Path,
    dtype: str = "bf16",
) -> str:
    """Write a checkpoint folder; return a line that says what it holds.

    Args:
        tensors: names of llama.cpp's, and what returns their values [N, K] or [N].
        header: of the file.
        folder: where to; made where it is absent.
        dtype: of the weights, one of `DTYPES`.

    Raises:
        UnknownFormError: when something of the file is not known here.

    """
    from safetensors.numpy import save_file

    header.check()
    weights: dict[str, npt.NDArray[Any]] = {}
    for name, read in tensors:
        own, values = converted(name, read(), header)
        weights[own] = np.ascontiguousarray(values.astype(DTYPES[dtype]))
    tied = tie(weights)
    files = tokenizer_files(header.fields)
    files["config.json"] = config_of(header, weights, tied, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    for name, content in files.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    count = sum(values.size for values in weights.values())
    return (
        f"{folder}: {header.family.class_name}, {count:,} parameters in {len(weights)} tensors, "
        f"{'tied' if tied else 'untied'}"
    )


def main() -> None:
    """Convert a file."""
    import gguf

    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="bf16", choices=list(DTYPES))
    options = parser.parse_args()
    reader = gguf.GGUFReader(options.file)
    header = Header({name: field.contents() for name, field in reader.fields.items()})

    def values(tensor: Any) -> Floating:
        plain = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return np.asarray(plain, np.float32).reshape([int(n) for n in reversed(tensor.shape)])

    tensors = ((tensor.name, lambda tensor=tensor: values(tensor)) for tensor in reader.tensors)
    try:
        print(convert(tensors, header, options.folder, options.dtype))
    except UnknownFormError as error:
        sys.exit(f"{options.file}: {error}")


if __name__ == "__main__":
    main()
