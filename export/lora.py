"""Merging a LoRA adapter in PEFT's form into a checkpoint, as its weights are read.

An adapter adds scale * B @ A to a weight (Hu et al. 2021), and may bring whole tensors or rows of
an embedding. Only what can be merged exactly as PEFT does is accepted; what is not is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..runtime.errors import CheckpointError, one_line
from .checkpoint import Checkpoint, Floating, TensorFiles, open_tensors, read_json
from .lora_config import AdapterConfig, read_adapter_config

CONFIG, STEM = "adapter_config.json", "adapter_model"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_EMBEDDING_A, _EMBEDDING_B = ".lora_embedding_A", ".lora_embedding_B"
_ROWS = ".token_adapter.trainable_tokens_delta"
# What stands under an adapter, where it was saved too.
_BASE = ".base_layer.weight"


@dataclass(frozen=True)
class Product:
    """What is added to one weight: scale * B @ A, or for an embedding its transpose."""

    a: str  # the names of the tensors A [r, K] and B [N, r]
    b: str
    scale: float
    transposed: bool


@dataclass(frozen=True)
class Rows:
    """What replaces single rows of an embedding."""

    name: str
    ids: list[int]


@dataclass(frozen=True)
class Adapter:
    """An open adapter: what it does to each of the checkpoint's tensors, by their names."""

    path: Path
    files: TensorFiles
    brought: dict[str, str]  # the name of the tensor that takes the weight's place
    products: dict[str, Product]
    rows: dict[str, Rows]
    saved_modules: tuple[str, ...]


def open_adapter(path: Path) -> Adapter:
    """Open the adapter in the folder `path`.

    Raises:
        CheckpointError: when it is no LoRA adapter, or one that is not a plain sum; lists why.
        MissingExtraError: when there is only adapter_model.bin and torch is not installed.

    """
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a folder; expected the folder of a LoRA adapter")
    unread: list[str] = []
    config = read_adapter_config(read_json(path / CONFIG), unread)
    problems = [f"{CONFIG}: {problem}" for problem in unread]
    files = open_tensors(path, STEM)
    if files is None:
        raise CheckpointError(f"{path} has no {STEM}.safetensors or {STEM}.bin")
    tensors = _sort(files)
    if tensors.strange:
        named = ", ".join(tensors.strange[:5])
        problems.append(f"{len(tensors.strange)} tensors are no LoRA weights: {named}")
    if config is not None:
        problems += _wrong_ranks(config, tensors.pairs, files)
    _refuse(path, problems)
    assert config is not None
    products = {
        f"{module}.weight": Product(pair.a, pair.b, config.scale_of(module), pair.embedding)
        for module, pair in tensors.pairs.items()
    }
    rows = {
        f"{module}.weight": Rows(name, config.rows_of(module))
        for module, name in tensors.rows.items()
    }
    return Adapter(path, files, tensors.brought, products, rows, config.saved_modules)


def merged(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """Return the checkpoint with the adapter in it; tensors are merged when they are read.

    Raises:
        CheckpointError: when the adapter was made for another model; lists what does not fit.

    """
    _refuse(adapter.path, _misfits(checkpoint, adapter))

    def read(name: str) -> Floating:
        source = adapter.files if name in adapter.brought else checkpoint
        weight = source.read(adapter.brought.get(name, name))
        if product := adapter.products.get(name):
            added = adapter.files.read(product.b) @ adapter.files.read(product.a)
            added *= np.float32(product.scale)
            weight = weight + (added.T if product.transposed else added)
        if rows := adapter.rows.get(name):
            weight = weight.copy()
            weight[rows.ids] = adapter.files.read(rows.name)
        return weight

    files = (*checkpoint.files, adapter.path / CONFIG, *adapter.files.paths)
    return replace(checkpoint, files=files, read=read)


@dataclass(frozen=True)
class _Pair:
    a: str
    b: str
    embedding: bool


@dataclass(frozen=True)
class _Sorted:
    """An adapter's tensors by what they are for, under the modules' names."""

    pairs: dict[str, _Pair]
    rows: dict[str, str]
    brought: dict[str, str]  # under the weight's name
    strange: list[str]


def _sort(files: TensorFiles) -> _Sorted:
    halves: dict[str, dict[str, str]] = {}
    rows, brought, strange = {}, {}, []
    for name, info in files.tensors.items():
        own = name.removeprefix(_PREFIX)
        ends = (_A, _B, _EMBEDDING_A, _EMBEDDING_B, _ROWS)
        end = next((end for end in ends if own.endswith(end)), None)
        module = own.removesuffix(end or "")
        if own == name or (end is None and ".lora_" in own) or (end and len(info.shape) != 2):
            strange.append(name)
        elif end is None:
            weight = own.removesuffix(_BASE) + ".weight" if own.endswith(_BASE) else own
            strange += [name] if weight in brought else []
            brought[weight] = name
        elif end == _ROWS:
            rows[module] = name
        else:
            halves.setdefault(module, {})[end] = name
    pairs = {}
    for module, parts in halves.items():
        if set(parts) == {_A, _B}:
            pairs[module] = _Pair(parts[_A], parts[_B], embedding=False)
        elif set(parts) == {_EMBEDDING_A, _EMBEDDING_B}:
            pairs[module] = _Pair(parts[_EMBEDDING_A], parts[_EMBEDDING_B], embedding=True)
        else:
            strange += parts.values()
    return _Sorted(pairs, rows, brought, sorted(strange))


def _wrong_ranks(config: AdapterConfig, pairs: dict[str, _Pair], files: TensorFiles) -> list[str]:
    """Compare the tensors' ranks with the file's: by another one, the scale would be wrong."""
    problems = []
    for module, pair in pairs.items():
        of_a, of_b = files.tensors[pair.a].shape[0], files.tensors[pair.b].shape[1]
        if of_a != of_b:
            problems.append(f"{module}: A has rank {of_a} and B {of_b}, expected the same")
        elif of_a != config.rank_of(module):
            expected = config.rank_of(module)
            problems.append(f"{module}: its tensors have rank {of_a}, {CONFIG} says {expected}")
    return problems


def _misfits(checkpoint: Checkpoint, adapter: Adapter) -> list[str]:
    infos = adapter.files.tensors
    problems = []
    for name, part in adapter.brought.items():
        problems += _shape_problem(checkpoint, name, infos[part].shape)
    for name, product in adapter.products.items():
        shape = (infos[product.b].shape[0], infos[product.a].shape[1])
        expected = shape[::-1] if product.transposed else shape
        problems += _shape_problem(checkpoint, name, expected)
    for name, rows in adapter.rows.items():
        problems += _row_problems(checkpoint, name, rows, infos[rows.name].shape)
    # PEFT would not read a weight's own name where an adapter stands on it.
    bare = {name for name, part in adapter.brought.items() if not part.endswith(_BASE)}
    kinds = Counter([*adapter.products, *adapter.rows, *bare])
    problems += [
        f"{name} is changed in {count} ways, expected one" for name, count in kinds.items()
        if count > 1
    ]  # fmt: skip
    return problems + [
        f"modules_to_save names {module}, of which it has no tensor"
        for module in adapter.saved_modules
        if _within(module, checkpoint.tensors) and not _within(module, adapter.brought)
    ]


def _shape_problem(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> list[str]:
    info = checkpoint.tensors.get(name)
    if info is None:
        return [f"it adapts {name}, which the checkpoint has not"]
    if info.shape != shape:
        return [f"{name} has shape {list(info.shape)}, the adapter's {list(shape)}"]
    return []


def _row_problems(
    checkpoint: Checkpoint, name: str, rows: Rows, shape: tuple[int, ...]
) -> list[str]:
    info = checkpoint.tensors.get(name)
    if info is None or len(info.shape) != 2:
        return [f"it adapts rows of {name}, which the checkpoint has not"]
    tokens, width = info.shape
    problems = []
    if shape != (len(rows.ids), width):
        expected = [len(rows.ids), width]
        problems.append(f"{rows.name} has shape {list(shape)}, expected {expected}")
    outside = [i for i in rows.ids if not 0 <= i < tokens]
    if outside or len(set(rows.ids)) < len(rows.ids):
        problems.append(
            f"trainable_token_indices of {name}: expected different ids from 0 to {tokens - 1}"
            + (f", found {outside[0]}" if outside else "")
        )
    return problems


def _within(module: str, names: Iterable[str]) -> bool:
    """Say whether a tensor belongs to a module of that name, at whatever depth."""
    return any(f".{module}." in f".{name}" for name in names)


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        listed = "".join(f"\n  - {one_line(problem, 400)}" for problem in problems[:20])
        more = f"\n  - and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise CheckpointError(f"{path} does not fit:{listed}{more}")
