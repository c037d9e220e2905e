"""A checkpoint as llama.cpp's files: our side of it, in our own environment.

llama.cpp runs RMSNorm where this model has LayerNorm; after the weights are mean-centred the two
are the same. `llama_formats.py` writes and quantizes the files, in an environment that has
llama-cpp-python: it is handed one line of JSON and then the tensors in that order, in fp32, so that
neither side ever holds more than one of them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from refact_edge.export.centre import centred
from refact_edge.export.checkpoint import Floating
from refact_edge.export.inspect import Inspected
from refact_edge.export.roles import WeightSpec, weight_specs
from refact_edge.runtime.bundle.contract import TOKENIZER

SCRIPT = Path(__file__).with_name("llama_formats.py")
WHOLE = {
    "embedding": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "head": "output.weight",
}
PARTS = {
    "norm1.weight": ("attn_norm",),
    "attention.q": ("attn_q",),
    "attention.kv": ("attn_k", "attn_v"),
    "attention.out": ("attn_output",),
    "norm2.weight": ("ffn_norm",),
    "mlp.gate_up": ("ffn_gate", "ffn_up"),
    "mlp.down": ("ffn_down",),
}


def llama_names(name: str) -> tuple[str, ...]:
    """Return the names that a weight's parts have in llama.cpp, in the order of their rows."""
    if name in WHOLE:
        return (WHOLE[name],)
    _, layer, part = name.split(".", 2)
    return tuple(f"blk.{layer}.{own}.weight" for own in PARTS[part])


def write_full(source: Inspected, peer: Path, file: Path) -> None:
    """Write the centred weights into a GGUF file in fp32, a tensor at a time.

    Raises:
        CalledProcessError: when the peers' python at `peer` fails.

    """
    specs = weight_specs(source.decoder)
    head = {
        "sizes": vars(source.sizes) | {"inner": source.decoder.mlp.hidden},
        "tokenizer": str(source.checkpoint.path.absolute() / TOKENIZER),
        "tensors": [entry for spec in specs for entry in _entries(spec)],
    }
    command = [str(peer), str(SCRIPT), "write", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(head).encode() + b"\n")
        for spec in specs:
            weight = centred(spec, source.weight(spec.name))
            process.stdin.write(np.ascontiguousarray(weight, np.float32).data)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def quantize(peer: Path, full: Path, form: str, file: Path) -> None:
    """Let llama.cpp's own quantizer make one of its formats."""
    _run(peer, "quantize", full, form, file)


def values(source: Inspected, peer: Path, file: Path) -> tuple[Mapping[str, Floating], int]:
    """Return what a file's weights stand for, under our names, and the bytes of its tensors."""
    folder = file.with_suffix(".values")
    folder.mkdir()
    size = int(_run(peer, "values", file, folder))
    specs = weight_specs(source.decoder)
    weights = {spec.name: np.concatenate(list(_parts(spec, folder))) for spec in specs}
    return weights, size


def _entries(spec: WeightSpec) -> list[tuple[str, list[int]]]:
    """Return name and shape of each of a weight's parts, which lie one behind the other."""
    names = llama_names(spec.name)
    return [(name, [spec.shape[0] // len(names), *spec.shape[1:]]) for name in names]


def _parts(spec: WeightSpec, folder: Path) -> Iterator[Floating]:
    for name in llama_names(spec.name):
        array = np.load(folder / f"{name}.npy")
        yield array.reshape((1, *array.shape)[-2:])


def _run(peer: Path, *arguments: object) -> str:
    command = [str(peer), str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout
