"""A checkpoint as llama.cpp's files: our side of it, in our own environment.

llama.cpp runs RMSNorm where a model has LayerNorm; after the weights are mean-centred the two are
the same. `llama_formats.py` writes and quantizes the files, in an environment that has
llama-cpp-python: it is handed one line of JSON and then the tensors in that order, in fp32, so that
neither side ever holds more than one of them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.llama_names import FUSED_ARCHITECTURES, fused_name, llama_architecture, llama_names
from bench.llama_rows import INTERLEAVED, in_halves, in_pairs
from refact_edge.export.centre import centred
from refact_edge.export.checkpoint import Floating
from refact_edge.export.gguf_tokenizer import pre_name
from refact_edge.export.inspect import Inspected
from refact_edge.export.layerwise import Ids, Layerwise
from refact_edge.export.roles import WeightSpec, weight_specs
from refact_edge.runtime.bundle.contract import TOKENIZER
from refact_edge.runtime.bundle.decoder import (
    EMBEDDING,
    HEAD,
    Decoder,
    Rotary,
)

Order = Callable[[Floating, int], Floating]

SCRIPT = Path(__file__).with_name("llama_formats.py")


def write_full(source: Inspected, peer: Path, file: Path) -> None:
    """Write the weights into a GGUF file in fp32, a tensor at a time; see `centred`.

    Raises:
        CalledProcessError: when the peers' python at `peer` fails.
        CheckpointError: when llama.cpp has another idea of the model, or of its tokenizer.

    """
    specs = weight_specs(source.decoder)
    command = [str(peer), str(SCRIPT), "write", str(file)]
    head = json.dumps(_head(source, specs)).encode()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2) as process:
        assert process.stdin is not None
        process.stdin.write(head + b"\n")
        for group in _groups(source.decoder, specs):
            for spec in group:
                process.stdin.write(np.ascontiguousarray(_as_theirs(source, spec), np.float32).data)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def quantize(
    peer: Path, full: Path, form: str, file: Path, importances: Path | None = None
) -> None:
    """Let llama.cpp's own quantizer make one of its formats; see `write_importances`."""
    _run(peer, "quantize", full, form, file, *([importances] if importances else []))


def write_importances(source: Inspected, texts: Sequence[Ids], file: Path) -> None:
    """Write the mean square of each input of each product within the layers, over some texts.

    That is what llama.cpp's own tool collects, which leaves embedding and head out as well.
    """
    squares: dict[str, Floating] = {}
    for stage in Layerwise(source).calibrate(texts):
        for name, moments in stage.moments.items():
            if name != HEAD:
                squares |= dict.fromkeys(
                    llama_names(name), moments.second.diagonal().astype(np.float32)
                )
    np.savez(file, allow_pickle=False, **squares)


def values(source: Inspected, peer: Path, file: Path) -> tuple[Mapping[str, Floating], int]:
    """Return what a file's weights stand for, under our names, and the bytes of its tensors.

    They lie in a folder beside the file, and are read from it whenever one is asked for.
    """
    folder = file.with_suffix(".values")
    folder.mkdir()
    size = int(_run(peer, "values", file, folder))
    return _Values(source.decoder, folder), size


@dataclass(frozen=True)
class _Values(Mapping[str, Floating]):
    """Weights [N, K] under our names, and [1, N] of norms and biases, out of a folder."""

    decoder: Decoder
    folder: Path

    def __getitem__(self, name: str) -> Floating:
        own = EMBEDDING if name == HEAD and self.decoder.tied else name
        parts = [np.load(self.folder / f"{part}.npy") for part in llama_names(own)]
        parts = _heads(self.decoder, own, parts, in_halves)
        whole: Floating = np.concatenate(parts)
        return whole.reshape((1, *whole.shape)[-2:])

    def __iter__(self) -> Iterator[str]:
        return (spec.name for spec in weight_specs(self.decoder))

    def __len__(self) -> int:
        return len(weight_specs(self.decoder))


def _as_theirs(source: Inspected, spec: WeightSpec) -> Floating:
    """Return a weight as llama.cpp's architecture has it."""
    weight = source.weight(spec.name)
    if llama_architecture(source.decoder) in FUSED_ARCHITECTURES:
        return weight.reshape(spec.shape)
    if source.decoder.norm.kind == "layer":
        weight = centred(spec, weight)
    parts = np.split(weight.reshape(spec.shape), len(llama_names(spec.name)))
    return np.concatenate(_heads(source.decoder, spec.name, parts, in_pairs))


def _heads(decoder: Decoder, name: str, parts: list[Floating], order: Order) -> list[Floating]:
    """Return the parts of a weight with the rows of queries and keys in another order."""
    if llama_architecture(decoder) not in INTERLEAVED:
        return parts
    matrix, first, *rest = name.removesuffix(".bias"), *parts
    if matrix.endswith("attention.q"):
        first = order(first, decoder.attention.heads)
    elif matrix.endswith("attention.kv"):
        first = order(first, decoder.attention.kv_heads)
    return [first, *rest]


def _head(source: Inspected, specs: list[WeightSpec]) -> dict[str, Any]:
    """Return what the other side writes before the tensors."""
    decoder, config = source.decoder, source.checkpoint.config
    ends = config.get("eos_token_id") or 0
    file = source.checkpoint.path.absolute() / TOKENIZER
    return {
        "architecture": llama_architecture(decoder),
        "sizes": _sizes(decoder),
        "tokenizer": str(file),
        "pre": pre_name(json.loads(file.read_text(encoding="utf-8"))),
        "end_id": ends[0] if isinstance(ends, list) else ends,
        "tensors": [
            entry for group in _groups(decoder, specs) for entry in _entries(decoder, group)
        ],
    }


def _sizes(decoder: Decoder) -> dict[str, float]:
    rotary = decoder.positions
    more = {}
    if isinstance(rotary, Rotary):
        more = {"rope_base": rotary.base, "rope_factor": rotary.factor, "rope_dims": rotary.dims}
    if decoder.residual == "parallel":
        more["parallel"] = 1
    return {
        "context": decoder.context,
        "width": decoder.width,
        "hidden": decoder.mlp.hidden,
        "layers": decoder.layers,
        "heads": decoder.attention.heads,
        "kv_heads": decoder.attention.kv_heads,
        "head_size": decoder.attention.head_size,
        "vocabulary": decoder.vocabulary,
        "epsilon": decoder.norm.epsilon,
        **more,
    }


def _groups(decoder: Decoder, specs: Sequence[WeightSpec]) -> list[list[WeightSpec]]:
    """Return weights in the order of the file; those in one are a tensor where that is fused."""
    if llama_architecture(decoder) not in FUSED_ARCHITECTURES:
        return [[spec] for spec in specs]
    groups: dict[str, list[WeightSpec]] = {}
    for spec in specs:
        groups.setdefault(fused_name(spec.name), []).append(spec)
    return list(groups.values())


def _entries(decoder: Decoder, group: list[WeightSpec]) -> list[tuple[str, list[int]]]:
    """Return name and shape of each tensor of a group, which lie one behind the other."""
    (first, *_), shape = group, group[0].shape
    if llama_architecture(decoder) in FUSED_ARCHITECTURES:
        return [(fused_name(first.name), [sum(spec.shape[0] for spec in group), *shape[1:]])]
    names = llama_names(first.name)
    return [(name, [shape[0] // len(names), *shape[1:]]) for name in names]


def _run(peer: Path, *arguments: object) -> str:
    command = [str(peer), str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout
