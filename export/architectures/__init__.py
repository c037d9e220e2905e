"""One file an architecture, named after its `model_type`; `find` imports the right one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...runtime.bundle.decoder import Decoder
from ...runtime.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoint import Checkpoint
    from ..prompts import PromptFamily
    from ..tensors import Table


class Architecture(Protocol):
    """What every architecture's module offers."""

    FAMILIES: tuple[PromptFamily, ...]  # how its models are asked, the likeliest first
    IGNORED: tuple[str, ...]  # ends of names of tensors that say nothing, such as buffers
    ZERO: tuple[str, ...]  # tensors that are accepted only when all their values are zero

    def decoder(self, config: Mapping[str, Any], problems: list[str]) -> Decoder | None:
        """Return the facts of a config.json, or None; append what is wrong to `problems`."""

    def tensors(self, names: set[str]) -> Table:
        """Return where weights lie in a checkpoint that holds tensors of these names."""

    def check_vocabulary(self, decoder: Decoder, tokens: int, problems: list[str]) -> None:
        """Compare the tokenizer's size with the embedding's."""

    def reference(self, checkpoint: Checkpoint) -> nn.Module:
        """Return a torch module with the checkpoint's weights: ids [B, T] -> logits [B, T, V].

        It is made without the facts, which it is there to check.
        """


_REGISTERED: dict[str, Architecture] = {}


def register(model_type: str, architecture: Architecture) -> None:
    """Let `find` return an architecture that has no file here."""
    _REGISTERED[model_type] = architecture


def find(model_type: object) -> Architecture:
    """Return the module of an architecture.

    Raises:
        CheckpointError: when there is none for this model type; lists those there are.

    """
    here = Path(__file__).parent
    names = sorted(file.stem for file in here.glob("[a-z]*.py"))
    if isinstance(model_type, str) and model_type in _REGISTERED:
        return _REGISTERED[model_type]
    if not isinstance(model_type, str) or model_type not in names:
        quoted = re.sub(r"\s+", " ", repr(model_type))[:60]
        raise CheckpointError(
            f"config.json says model_type {quoted}; expected one of: {', '.join(names)}"
        )
    return import_module(f".{model_type}", __name__)
