"""llama.cpp's side of the formats: writes GGUF files, quantizes them, and reads them back.

Usage: python bench/llama_formats.py write FILE < WEIGHTS
       python bench/llama_formats.py quantize FULL FORMAT FILE [IMPORTANCES]
       python bench/llama_formats.py values FILE FOLDER

Runs in an environment of its own, with llama-cpp-python and gguf, and imports nothing of ours.
`llama_files.py` calls it, and says what WEIGHTS are. IMPORTANCES is an .npz file with an array for
each tensor: an importance matrix, in llama.cpp's words. `values` writes what each tensor stands for
as `FOLDER/NAME.npy` and prints the bytes of all tensors. Names are llama.cpp's.
"""

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

FORMATS = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q5_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "IQ4_XS": llama_cpp.LLAMA_FTYPE_MOSTLY_IQ4_XS,
}


def write(file: str) -> None:
    """Write the weights from standard input into one GGUF file, a tensor at a time."""
    head = json.loads(sys.stdin.buffer.readline())
    writer = gguf.GGUFWriter(file, head["architecture"])
    add_sizes(writer, head["sizes"])
    add_tokenizer(writer, json.loads(Path(head["tokenizer"]).read_text()), head)
    for name, shape in head["tensors"]:
        writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * int(np.prod(shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, shape in head["tensors"]:
        data = sys.stdin.buffer.read(4 * int(np.prod(shape)))
        writer.write_tensor_data(np.frombuffer(data, np.float32))
    writer.close()


def add_sizes(writer: Any, sizes: dict[str, Any]) -> None:
    """Write the numbers that llama.cpp builds its graph by."""
    writer.add_context_length(sizes["context"])
    writer.add_embedding_length(sizes["width"])
    writer.add_feed_forward_length(sizes["hidden"])
    writer.add_block_count(sizes["layers"])
    writer.add_head_count(sizes["heads"])
    writer.add_head_count_kv(sizes["kv_heads"])
    writer.add_key_length(sizes["head_size"])
    writer.add_value_length(sizes["head_size"])
    writer.add_layer_norm_rms_eps(sizes["epsilon"])
    writer.add_layer_norm_eps(sizes["epsilon"])
    if "parallel" in sizes:
        writer.add_parallel_residual(True)
    writer.add_vocab_size(sizes["vocabulary"])
    writer.add_file_type(llama_cpp.LLAMA_FTYPE_ALL_F32)
    if "rope_base" in sizes:
        writer.add_rope_dimension_count(sizes["rope_dims"])
        writer.add_rope_freq_base(sizes["rope_base"])
    if sizes.get("rope_factor", 1.0) != 1.0:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(sizes["rope_factor"])


def add_tokenizer(writer: Any, tokenizer: dict[str, Any], head: dict[str, Any]) -> None:
    """Write the vocabulary and its merges, filled up to the rows of the embedding."""
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    words = {i: word for word, i in tokenizer["model"]["vocab"].items()} | special
    ids = range(head["sizes"]["vocabulary"])
    normal, control, unused = (
        gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.UNUSED,
    )  # fmt: skip
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(head["pre"])
    writer.add_token_list([words.get(i, f"[PAD{i}]") for i in ids])
    writer.add_token_types(
        [control if i in special else normal if i in words else unused for i in ids]
    )
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(head["end_id"])
    writer.add_eos_token_id(head["end_id"])
    writer.add_add_bos_token(False)


def quantize(full: str, form: str, file: str, importances: str | None = None) -> None:
    """Let llama.cpp make one of its formats of a file in full precision."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = FORMATS[form], 2
    if importances is not None:
        with np.load(importances) as arrays:
            weights = {name: np.ascontiguousarray(arrays[name], np.float32) for name in arrays}
        params.imatrix = table_of(weights)
    failed = llama_cpp.llama_model_quantize(full.encode(), file.encode(), params)
    if failed:
        raise SystemExit(f"llama.cpp could not quantize to {form}: {failed}")


def table_of(weights: dict[str, Any]) -> Any:
    """Return the rows that llama.cpp reads, and at the end one without a name."""
    row, pointer = llama_cpp.llama_model_imatrix_data, ctypes.POINTER(ctypes.c_float)
    rows = (row * (len(weights) + 1))()
    for place, (name, values) in zip(rows, weights.items(), strict=False):
        place.name, place.size = name.encode(), values.size
        place.data = values.ctypes.data_as(pointer)
    return ctypes.cast(rows, ctypes.POINTER(row))


def values(file: str, folder: str) -> None:
    """Write what each tensor stands for, and print how many bytes all of them take."""
    total = 0
    for tensor in gguf.GGUFReader(file).tensors:
        total += int(tensor.n_bytes)
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.save(Path(folder) / f"{tensor.name}.npy", array.astype(np.float32))
    print(total)


COMMANDS: dict[str, Callable[..., None]] = {"write": write, "quantize": quantize, "values": values}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
