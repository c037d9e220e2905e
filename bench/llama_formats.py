"""Turns weights into llama.cpp's formats with its own quantizer, and reads the result back.

Usage: python bench/llama_formats.py FOLDER

Runs in an environment of its own, with llama-cpp-python and gguf, and imports nothing of ours.
FOLDER holds `sizes.json` and the weights as `NAME.npy`; beside them are written, for each format,
`FORMAT/NAME.npy`, and `bytes.json`. Names are llama.cpp's.
"""

import json
import sys
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

FORMATS = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q5_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
}


def write_full(folder: Path, file: Path) -> None:
    """Write the weights as they are into one GGUF file."""
    sizes = json.loads((folder / "sizes.json").read_text())
    writer = gguf.GGUFWriter(file, "refact")
    writer.add_context_length(sizes["context"])
    writer.add_embedding_length(sizes["width"])
    writer.add_feed_forward_length(sizes["inner"])
    writer.add_block_count(sizes["layers"])
    writer.add_head_count(sizes["heads"])
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(sizes["vocabulary"])
    writer.add_file_type(llama_cpp.LLAMA_FTYPE_ALL_F32)
    for tensor in sorted(folder.glob("*.npy")):
        writer.add_tensor(tensor.stem, np.load(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Quantize to every format, and write what each one's tensors stand for."""
    folder = Path(sys.argv[1])
    full = folder / "full.gguf"
    write_full(folder, full)
    sizes = {}
    for name, kind in FORMATS.items():
        file = folder / f"{name}.gguf"
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.nthread = kind, 2
        failed = llama_cpp.llama_model_quantize(str(full).encode(), str(file).encode(), params)
        if failed:
            raise SystemExit(f"llama.cpp could not quantize to {name}: {failed}")
        (folder / name).mkdir(exist_ok=True)
        sizes[name] = 0
        for tensor in gguf.GGUFReader(file).tensors:
            sizes[name] += int(tensor.n_bytes)
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            np.save(folder / name / f"{tensor.name}.npy", values.astype(np.float32))
    (folder / "bytes.json").write_text(json.dumps(sizes))


main()
