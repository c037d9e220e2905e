"""The door: everything about a checkpoint that can be wrong, found before work begins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.bundle.contract import TOKENIZER, Sizes
from ..runtime.errors import CheckpointError, one_line
from ..runtime.files.sha256 import file_sha256
from ..runtime.text.tokens import Tokens
from .architectures import Architecture, find
from .checkpoint import FLOAT_TYPES, Checkpoint, Floating, open_checkpoint
from .lora import merged, open_adapter
from .progress import Track
from .tokenizer import check_tokenizer

LARGEST_VALUE = 1e12  # sums of the squares of larger ones are beyond fp32
_SHOWN = 400  # characters of a problem


@dataclass(frozen=True)
class Inspected:
    """A checkpoint in which nothing wrong was found."""

    checkpoint: Checkpoint
    architecture: Architecture
    model_type: str
    config: Any  # the architecture's own Config
    sizes: Sizes
    source_files: list[dict[str, Any]]
    tokenizer: bytes  # the content of the bundle's tokenizer.json
    notes: tuple[str, ...]  # on what of the checkpoint the bundle does without

    def tokens(self) -> Tokens:
        """Return the tokenizer as the bundle gets it."""
        return Tokens(self.checkpoint.path / TOKENIZER, self.tokenizer)


def inspect_checkpoint(path: Path, track: Track, adapter: Path | None = None) -> Inspected:
    """Open a checkpoint and check config, tokenizer, tensors and every value.

    With the folder of a LoRA `adapter`, it is checked and read with that merged in.

    Raises:
        CheckpointError: listing all that is wrong.

    """
    checkpoint = open_checkpoint(path)
    if adapter is not None:
        checkpoint = merged(checkpoint, open_adapter(adapter))
    model_type = checkpoint.config.get("model_type")
    architecture = find(model_type)
    problems: list[str] = []
    config = architecture.read_config(checkpoint.config, problems)
    tokenizer = check_tokenizer(path / TOKENIZER, architecture.SPECIAL_TOKENS, problems)
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    if config is not None:
        architecture.check_tensors(config, shapes, problems)
        architecture.check_vocabulary(config, tokenizer.tokens, problems)
    problems += [
        f"{name} has type {info.type}, expected one of {', '.join(FLOAT_TYPES)}"
        for name, info in checkpoint.tensors.items()
        if info.type not in FLOAT_TYPES
    ]
    _check_values(checkpoint, architecture, problems, track)
    if problems:
        listed = "".join(f"\n  - {one_line(problem, _SHOWN)}" for problem in problems)
        raise CheckpointError(f"{path} cannot be exported:{listed}")
    sizes = architecture.sizes(config, tokenizer.tokens)
    sources = [path / "config.json", path / TOKENIZER, *checkpoint.files]
    files = [
        {"file": file.name, "bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sources
    ]
    return Inspected(
        checkpoint,
        architecture,
        str(model_type),
        config,
        sizes,
        files,
        tokenizer.content,
        tokenizer.notes,
    )


def _check_values(
    checkpoint: Checkpoint, architecture: Architecture, problems: list[str], track: Track
) -> None:
    """Look at every value: a NaN or an infinity would only show much later, as nonsense."""
    zero = architecture.must_be_zero(set(checkpoint.tensors))
    hashes: dict[str, bytes] = {}
    readable = {n: info for n, info in checkpoint.tensors.items() if info.type in FLOAT_TYPES}
    total = sum(int(np.prod(info.shape)) for info in readable.values())
    with track("checking weights", total) as advance:
        for name, info in readable.items():
            values = checkpoint.read(name)
            if problem := _value_problem(values):
                problems.append(f"{name} holds {problem}")
            elif name in zero and values.any():
                problems.append(f"{name} is not zero; this architecture has no bias")
            if name in architecture.MUST_DIFFER:
                hashes[name] = hashlib.sha256(values.data).digest()
            advance(int(np.prod(info.shape)))
    if len(hashes) > 1 and len(set(hashes.values())) == 1:
        problems.append(f"{' and '.join(hashes)} are equal: tied weights, which this model has not")


def _value_problem(values: Floating) -> str:
    """Say what is wrong with the values of a tensor; "" for nothing."""
    largest = float(np.abs(values).max(initial=0))  # which is none where a value is none
    if largest <= LARGEST_VALUE:
        return ""
    if bad := values.size - int(np.count_nonzero(np.isfinite(values))):
        return f"{bad} values that are not finite (of {values.size})"
    return f"values up to {largest:.3g}, expected {LARGEST_VALUE:g} at most"
