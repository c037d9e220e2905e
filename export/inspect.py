"""The door: everything about a checkpoint that can be wrong, found before work begins."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.bundle.contract import TOKENIZER, Sizes, sizes_of
from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import CheckpointError, one_line
from ..runtime.files.sha256 import file_sha256
from ..runtime.text.tokens import Tokens
from .architectures import Architecture, find
from .checkpoint import FLOAT_TYPES, Checkpoint, Floating
from .gguf_file import open_source
from .lora import merged, open_adapter
from .progress import Track
from .prompts import PromptFamily, manifest_prompts
from .sentencepiece_model import NAMES
from .tensors import Tensors
from .tokenizer import check_tokenizer

LARGEST_VALUE = 1e12  # sums of the squares of larger ones are beyond fp32
_MOST_CHARACTERS = 400  # characters of a problem


@dataclass(frozen=True)
class Inspected:
    """A checkpoint in which nothing wrong was found."""

    checkpoint: Checkpoint
    architecture: Architecture
    model_type: str
    decoder: Decoder
    sizes: Sizes
    source_files: list[dict[str, Any]]
    tokenizer: bytes  # the content of the bundle's tokenizer.json
    family: PromptFamily
    prompts: Mapping[str, Any]  # of the manifest
    notes: tuple[str, ...]  # on what of the checkpoint the bundle does without

    def weight(self, role: str) -> Floating:
        """Return a weight as fp32 [N, K]; a norm or a bias is [1, N]."""
        return self._tensors.weight(role, self.checkpoint.read)

    def tensor_names(self, role: str) -> list[str]:
        """Return the checkpoint's tensors that a weight is made of."""
        return self._tensors.names(role)

    @functools.cached_property
    def _tensors(self) -> Tensors:
        table = self.architecture.tensors(set(self.checkpoint.tensors))
        return Tensors(self.decoder, table)

    def tokens(self) -> Tokens:
        """Return the tokenizer as the bundle gets it."""
        return Tokens(self.checkpoint.path / TOKENIZER, self.tokenizer)


def inspect_checkpoint(
    path: Path, track: Track, adapter: Path | None = None, *, prompts: str | None = None
) -> Inspected:
    """Open a checkpoint and check config, tokenizer, tensors and every value.

    With the folder of a LoRA `adapter`, it is checked and read with that merged in. `prompts` names
    the family of prompts where the tokenizer's tokens do not tell it rightly.

    Raises:
        CheckpointError: listing all that is wrong.

    """
    checkpoint = open_source(path)
    if adapter is not None:
        checkpoint = merged(checkpoint, open_adapter(adapter))
    model_type = checkpoint.config.get("model_type")
    architecture = find(model_type)
    checkpoint = _without(checkpoint, architecture.IGNORED)
    problems: list[str] = []
    decoder = _decoder(architecture, checkpoint, problems)
    tokenizer = check_tokenizer(
        path / TOKENIZER,
        architecture.FAMILIES,
        checkpoint.config,
        problems,
        prompts,
        checkpoint.tokenizer,
    )
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    tensors = None
    if decoder is not None:
        tensors = Tensors(decoder, architecture.tensors(set(shapes)))
        tensors.check(shapes, architecture.ZERO, problems)
        architecture.check_vocabulary(decoder, tokenizer.tokens, problems)
    problems += _type_problems(checkpoint)
    ends = tensors.ends if tensors is not None else ()
    values = _Values(checkpoint, ends, problems)
    values.check(architecture.ZERO, track)
    if decoder is not None:
        values.check_ends(decoder.tied)
    if problems:
        listed = "".join(f"\n  - {one_line(problem, _MOST_CHARACTERS)}" for problem in problems)
        raise CheckpointError(f"{path} cannot be exported:{listed}")
    assert decoder is not None
    assert tokenizer.family is not None
    sizes = sizes_of(decoder, tokenizer.tokens)
    return Inspected(
        checkpoint,
        architecture,
        str(model_type),
        decoder,
        sizes,
        _source_files(checkpoint),
        tokenizer.content,
        tokenizer.family,
        manifest_prompts(
            tokenizer.family, tokenizer.specials, tokenizer.start, tokenizer.before_text
        ),
        (*checkpoint.notes, *tokenizer.notes),
    )


def _without(checkpoint: Checkpoint, ignored: tuple[str, ...]) -> Checkpoint:
    """Return a checkpoint without the tensors that say nothing, such as masks of early versions."""
    tensors = {
        name: info for name, info in checkpoint.tensors.items() if not name.endswith(ignored)
    }
    return replace(checkpoint, tensors=tensors)


def _type_problems(checkpoint: Checkpoint) -> list[str]:
    return [
        f"{name} has type {info.type}, expected one of {', '.join(FLOAT_TYPES)}"
        for name, info in checkpoint.tensors.items()
        if info.type not in FLOAT_TYPES
    ]


def _source_files(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the files that a bundle is made of; a tokenizer may be made here instead."""
    made_of = [checkpoint.path / name for name in (TOKENIZER, *NAMES)]
    tokenizer = [file for file in made_of if file.exists()][:1]
    files = [checkpoint.path / "config.json", *tokenizer, *checkpoint.files]
    return [
        {"file": file.name, "bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in files
        if file.exists()
    ]


def _decoder(
    architecture: Architecture, checkpoint: Checkpoint, problems: list[str]
) -> Decoder | None:
    try:
        return architecture.decoder(checkpoint.config, problems)
    except ValueError as error:
        problems.append(f"config.json: {error}")
        return None


@dataclass
class _Values:
    """A look at every value: a NaN or an infinity would only show much later, as nonsense."""

    checkpoint: Checkpoint
    ends: tuple[str, ...]  # tensors of the embedding and the head
    problems: list[str]
    hashes: dict[str, bytes] = field(default_factory=dict)

    def check(self, zero: tuple[str, ...], track: Track) -> None:
        """Look at all tensors; those that `zero` names must be so."""
        tensors = self.checkpoint.tensors
        readable = {n: info for n, info in tensors.items() if info.type in FLOAT_TYPES}
        total = sum(int(np.prod(info.shape)) for info in readable.values())
        with track("checking weights", total) as advance:
            for name, info in readable.items():
                values = self.checkpoint.read(name)
                if problem := _value_problem(values):
                    self.problems.append(f"{name} holds {problem}")
                elif name in zero and values.any():
                    self.problems.append(f"{name} is not zero; this architecture has no bias")
                if name in self.ends:
                    self.hashes[name] = hashlib.sha256(values.data).digest()
                advance(int(np.prod(info.shape)))

    def check_ends(self, tied: bool) -> None:
        """See that embedding and head are equal if they are tied, and only then."""
        if len(self.hashes) < 2:
            return
        equal, names = len(set(self.hashes.values())) == 1, " and ".join(self.hashes)
        if equal and not tied:
            self.problems.append(f"{names} are equal: tied weights, which this model has not")
        elif tied and not equal:
            self.problems.append(f"{names} differ, and config.json says that they are tied")


def _value_problem(values: Floating) -> str:
    """Say what is wrong with the values of a tensor; "" for nothing."""
    largest = float(np.abs(values).max(initial=0))  # which is none where a value is none
    if largest <= LARGEST_VALUE:
        return ""
    if bad := values.size - int(np.count_nonzero(np.isfinite(values))):
        return f"{bad} values that are not finite (of {values.size})"
    return f"values up to {largest:.3g}, expected {LARGEST_VALUE:g} at most"
