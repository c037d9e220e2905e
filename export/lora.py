"""Merging a LoRA adapter in PEFT's form into a checkpoint, as its weights are read.

An adapter adds scale * B @ A to a weight (Hu et al. 2021) and may bring whole new tables, such as
embeddings. Only what can be added exactly is accepted; everything that does not fit is listed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import CheckpointError, one_line
from .checkpoint import Checkpoint, Floating, TensorFiles, open_tensors, read_json

CONFIG, STEM = "adapter_config.json", "adapter_model"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_LARGEST_ALPHA = 1e6  # adapters have some hundreds
# What would make it more than a sum, by field and the values that are harmless.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "use_dora": (None, False),
    "fan_in_fan_out": (None, False),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layer_replication": (None, []),
    "lora_bias": (None, False),
}


@dataclass(frozen=True)
class Adapter:
    """An open adapter: which tensors it adds to, and which it brings whole."""

    path: Path
    scale: float
    added: dict[str, tuple[str, str]]  # a checkpoint's tensor: the names of A [r, K] and B [N, r]
    brought: dict[str, str]  # a checkpoint's tensor: the name of what replaces it
    files: TensorFiles


def open_adapter(path: Path) -> Adapter:
    """Open the adapter in the folder `path`.

    Raises:
        CheckpointError: when it is no LoRA adapter, or one that is not a plain sum; lists why.
        MissingExtraError: when there is only adapter_model.bin and torch is not installed.

    """
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a folder; expected the folder of a LoRA adapter")
    config = read_json(path / CONFIG)
    problems = [
        f"{CONFIG}: {field} is {config.get(field)!r}, expected {harmless[-1]!r}"
        for field, harmless in _HARMLESS.items()
        if config.get(field) not in harmless
    ]
    rank, alpha = config.get("r"), config.get("lora_alpha")
    sane = type(rank) is int and rank > 0 and isinstance(alpha, int | float)
    if not (sane and abs(alpha or 0) <= _LARGEST_ALPHA):
        problems.append(
            f"{CONFIG}: r is {rank!r:.40} and lora_alpha {alpha!r:.40}, expected numbers, and the "
            f"second {_LARGEST_ALPHA:g} at most in size"
        )
    files = open_tensors(path, STEM)
    if files is None:
        raise CheckpointError(f"{path} has no {STEM}.safetensors or {STEM}.bin")
    added, brought, strange = _targets(files)
    if strange:
        problems.append(f"{len(strange)} tensors are no LoRA weights: {', '.join(strange[:5])}")
    _refuse(path, problems)
    assert isinstance(rank, int)
    assert alpha is not None
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Adapter(path, float(scale), added, brought, files)


def merged(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """Return the checkpoint with the adapter in it; tensors are merged when they are read.

    Raises:
        CheckpointError: when the adapter was made for another model; lists what does not fit.

    """
    problems = []
    infos = adapter.files.tensors
    for name, parts in adapter.added.items():
        (rank, columns), (rows, inner) = (infos[part].shape for part in parts)
        problems += _misfits(checkpoint, name, (rows, columns))
        if rank != inner:
            problems.append(f"{name}: A has rank {rank} and B {inner}, expected the same")
    for name, part in adapter.brought.items():
        problems += _misfits(checkpoint, name, infos[part].shape)
    _refuse(adapter.path, problems)

    def read(name: str) -> Floating:
        if name in adapter.brought:
            return adapter.files.read(adapter.brought[name])
        weight = checkpoint.read(name)
        if name not in adapter.added:
            return weight
        a, b = (adapter.files.read(part) for part in adapter.added[name])
        total: Floating = weight + np.float32(adapter.scale) * (b @ a)
        return total

    files = (*checkpoint.files, adapter.path / CONFIG, *adapter.files.paths)
    return replace(checkpoint, files=files, read=read)


def _targets(
    files: TensorFiles,
) -> tuple[dict[str, tuple[str, str]], dict[str, str], list[str]]:
    """Sort an adapter's tensors: pairs, whole ones, and those that are neither."""
    pairs: dict[str, dict[str, str]] = {}
    brought, strange = {}, []
    for name, info in files.tensors.items():
        own = name.removeprefix(_PREFIX)
        end = next((end for end in (_A, _B) if own.endswith(end)), None)
        if own == name or len(info.shape) != 2 or (end is None and ".lora_" in own):
            strange.append(name)
        elif end is not None:
            pairs.setdefault(f"{own.removesuffix(end)}.weight", {})[end] = name
        else:
            brought[own] = name
    strange += [name for parts in pairs.values() if len(parts) < 2 for name in parts.values()]
    added = {name: (parts[_A], parts[_B]) for name, parts in pairs.items() if len(parts) == 2}
    return added, brought, sorted(strange)


def _misfits(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> list[str]:
    info = checkpoint.tensors.get(name)
    if info is None:
        return [f"it adapts {name}, which the checkpoint has not"]
    if info.shape != shape:
        return [f"{name} has shape {list(info.shape)}, the adapter's {list(shape)}"]
    return []


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        listed = "".join(f"\n  - {one_line(problem, 400)}" for problem in problems[:20])
        more = f"\n  - and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise CheckpointError(f"{path} does not fit:{listed}{more}")
