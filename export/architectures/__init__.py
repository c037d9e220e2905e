"""One file an architecture, named after its `model_type`; `find` imports the right one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...quant.balance import Fold
from ...runtime.bundle import Sizes
from ...runtime.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from ..blocks import Weights
    from ..graph import Graph


STREAM, STREAM_OUT = "stream", "stream_out"  # activations between the parts of a model


@dataclass(frozen=True)
class WeightSpec:
    """A weight as graphs use it, and the checkpoint tensors [rows, K] it is stacked from.

    `layer` is None for what stands before the first layer or after the last. `writer` names the
    matrix of the same block that writes into the stream, where it is another.
    """

    name: str
    shape: tuple[int, ...]
    role: Literal["embedding", "matrix", "norm", "head"]
    sources: tuple[str, ...]
    layer: int | None = None
    writer: str | None = None


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

    def folds(self, config: Any, layer: int | None) -> list[Fold]:
        """List where scale can move between the weights of a layer, or of the head for None."""

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
