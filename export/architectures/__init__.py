"""One file an architecture, named after its `model_type`; `find` imports the right one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...runtime.bundle.contract import Sizes
from ...runtime.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from ..blocks import Weights
    from ..graph import Graph


Role = Literal["embedding", "matrix", "kv", "norm", "head"]

STREAM, STREAM_OUT = "stream", "stream_out"  # activations between the parts of a model


@dataclass(frozen=True)
class WeightSpec:
    """A weight as graphs use it, and the checkpoint tensors [rows, K] it is stacked from.

    Args:
        name: also the tensor's in the fused layout.
        shape: [N, K], or [E] of a norm.
        role: "kv" makes keys and values, "head" logits.
        sources: the tensors.
        layer: None for what stands before the first layer or after the last.
        writer: the matrix of the same block that writes into the stream.
        norm: the norm behind which it reads the stream.
        reads: the size of the blocks in which what it reads is turned (see export/rotated.py), and
            for an embedding what it holds; 0: not at all.
        writes: the size of the blocks in which what it makes is turned.
        writes_from: the first of its rows that are.

    """

    name: str
    shape: tuple[int, ...]
    role: Role
    sources: tuple[str, ...]
    layer: int | None = None
    writer: str | None = None
    norm: str | None = None
    reads: int = 0
    writes: int = 0
    writes_from: int = 0

    @property
    def multiplies(self) -> bool:
        """Whether activations are multiplied with it."""
        return self.role in ("matrix", "kv", "head")


class Architecture(Protocol):
    """What every architecture's module offers."""

    ARCHITECTURE: str
    SPECIAL_TOKENS: tuple[str, ...]
    MUST_DIFFER: tuple[str, ...]  # weights that would be equal in a tied model

    def read_config(self, config: Mapping[str, Any], problems: list[str]) -> Any:
        """Return the module's Config, or None; append what is wrong to `problems`."""

    def check_tensors(
        self,
        config: Any,
        shapes: Mapping[str, tuple[int, ...]],
        problems: list[str],
    ) -> None:
        """Compare names and shapes with what the config implies."""

    def check_vocabulary(self, config: Any, tokens: int, problems: list[str]) -> None:
        """Compare the tokenizer's size with the config's."""

    def weight_specs(self, config: Any, names: set[str]) -> list[WeightSpec]:
        """List the weights in the order of the data file."""

    def must_be_zero(self, names: set[str]) -> list[str]:
        """List tensors that are accepted only when all their values are zero."""

    def sizes(self, config: Any, tokens: int) -> Sizes:
        """Return the numbers the engine needs; `tokens` is the tokenizer's size."""

    def prompts(self) -> dict[str, Any]:
        """Return the prompt layouts for the manifest."""

    def sampling(self) -> dict[str, Any]:
        """Return the sampling defaults for the manifest."""

    def build(self, g: Graph, config: Any, weights: Weights, *, standard: bool) -> None:
        """Build the standard graph or the engine's."""

    def build_embedding(self, g: Graph, config: Any, weights: Weights) -> None:
        """Build ids [1, T] -> `STREAM_OUT` [T, E]."""

    def build_layer(self, g: Graph, config: Any, weights: Weights) -> None:
        """Build the first layer alone, from the start of one text: ids, `STREAM` -> `STREAM_OUT`.

        Of the ids only their number counts. All other layers are the same but for their weights.
        """

    def build_head(self, g: Graph, config: Any, weights: Weights) -> None:
        """Build what follows the last layer: `STREAM` [T, E] -> logits [T, V]."""

    def reference(self, config: Any) -> nn.Module:
        """Return the torch module whose weights are named as `weight_specs` names them."""


def find(model_type: object) -> Architecture:
    """Return the module of an architecture.

    Raises:
        CheckpointError: when there is none for this model type; lists those there are.

    """
    here = Path(__file__).parent
    known = sorted(file.stem for file in here.glob("[a-z]*.py"))
    if not isinstance(model_type, str) or model_type not in known:
        shown = re.sub(r"\s+", " ", repr(model_type))[:60]
        raise CheckpointError(
            f"config.json says model_type {shown}; expected one of: {', '.join(known)}. "
            "An early base checkpoint that says gpt_bigcode is another model"
        )
    return import_module(f".{model_type}", __name__)
