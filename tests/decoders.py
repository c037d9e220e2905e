"""Tiny random decoders of three families, built with transformers' own classes, as bundles.

Their facts are read by the architectures' own files, under types that are nobody's.
Between them: RMSNorm and LayerNorm, with biases and without; rotary positions, whole and in part,
and learned ones; one, two and six key and value heads; gated and plain MLPs; both residuals.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from refact_edge.export.architectures import gpt_bigcode, gpt_neox, llama, register
from refact_edge.export.checkpoint import Checkpoint
from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import made_up_tokenizer
from refact_edge.export.families import REFACT
from refact_edge.export.llama_like import TENSORS as LLAMA
from refact_edge.export.prompts import PromptFamily
from refact_edge.export.tensors import Table
from refact_edge.runtime.bundle.decoder import Decoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Facts = Callable[[Mapping[str, Any]], Decoder]
DECODERS = ("llama", "gpt_neox", "gpt_bigcode")
VARIANTS = ("fp32", "int8", "int4")
TOKENS = 420
PREFIX = "tiny_"  # of model types, so that no family is known by its own name

WIDTH, HEADS, LAYERS, VOCABULARY, CONTEXT = 96, 6, 2, 448, 256
SIZE = WIDTH // HEADS


def facts_of(architecture: Any) -> Facts:  # a module; mypy wants its tuples of any length
    """Return what an architecture's file reads out of a config."""

    def facts(config: Mapping[str, Any]) -> Decoder:
        problems: list[str] = []
        decoder: Decoder | None = architecture.decoder(config, problems)
        assert decoder is not None, problems
        return decoder

    return facts


llama_facts = facts_of(llama)


def with_bias(role: str, tensor: str) -> Table:
    """Return the rows of the table for a matrix or a norm with a bias."""
    weight = "" if role.split(".")[-1] in ("q", "out", "up", "down", "head") else ".weight"
    return {f"{role}{weight}": f"{tensor}.weight", f"{role}.bias": f"{tensor}.bias"}


@dataclass  # not frozen: an Architecture's attributes may be set
class Family:
    """An architecture (see `refact_edge.export.architectures`), and a config to build."""

    facts: Facts
    table: Table
    config: Mapping[str, Any]
    FAMILIES: tuple[PromptFamily, ...] = (REFACT,)
    IGNORED: tuple[str, ...] = ()
    ZERO: tuple[str, ...] = ()

    def decoder(self, config: Mapping[str, Any], problems: list[str]) -> Decoder:
        del problems
        return self.facts(config)

    def tensors(self, names: set[str]) -> Table:
        del names
        return self.table

    def check_vocabulary(self, decoder: Decoder, tokens: int, problems: list[str]) -> None:
        if tokens > decoder.vocabulary:
            problems.append(f"{tokens} tokens, more than {decoder.vocabulary} rows")

    def reference(self, checkpoint: Checkpoint) -> torch.nn.Module:
        model = _built(checkpoint.config)
        tensors = {name: torch.from_numpy(checkpoint.read(name)) for name in checkpoint.tensors}
        model.load_state_dict(tensors, strict=False)
        model.tie_weights()  # type: ignore[no-untyped-call] # transformers leaves it untyped
        return _Logits(model)


class _Logits(torch.nn.Module):
    """A model of transformers' that returns logits alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(ids, use_cache=False).logits
        return logits


FAMILIES = {
    "llama": Family(
        llama_facts,
        LLAMA,
        {
            "hidden_act": "silu",
            "num_attention_heads": HEADS,
            "num_key_value_heads": 2,
            "head_dim": SIZE,
            "num_hidden_layers": LAYERS,
            "hidden_size": WIDTH,
            "intermediate_size": 224,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "rope_scaling": {"rope_type": "linear", "factor": 2.0},
            "tie_word_embeddings": True,
        },
    ),
    "gpt_neox": Family(
        facts_of(gpt_neox),
        gpt_neox.TENSORS,
        {
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "hidden_size": WIDTH,
            "intermediate_size": 256,
            "hidden_act": "gelu",
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
            "layer_norm_eps": 1e-5,
            "rotary_pct": 0.25,
            "rotary_emb_base": 10000,
            "tie_word_embeddings": False,
        },
    ),
    "gpt_bigcode": Family(
        facts_of(gpt_bigcode),
        gpt_bigcode.TENSORS,
        {
            "n_head": HEADS,
            "n_layer": LAYERS,
            "n_embd": WIDTH,
            "vocab_size": VOCABULARY,
            "n_positions": CONTEXT,
            "layer_norm_epsilon": 1e-5,
            "activation_function": "gelu_pytorch_tanh",
            "multi_query": True,
            "tie_word_embeddings": True,
        },
    ),
}

for _name, _family in FAMILIES.items():
    register(f"{PREFIX}{_name}", _family)


def decoder(name: str) -> Decoder:
    """Return the facts of a decoder."""
    family = FAMILIES[name]
    return family.facts(family.config)


@functools.cache
def model(name: str) -> PreTrainedModel:
    """Return transformers' model, always with the same weights.

    They are larger than at the start of training, so that attention and positions matter.
    """
    built = _built({"model_type": f"{PREFIX}{name}", **FAMILIES[name].config})
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in built.parameters():
            values = torch.randn(parameter.shape, generator=random)
            if parameter.ndim == 2:
                parameter.copy_(values * parameter.shape[1] ** -0.5)
            else:
                parameter.copy_(0.3 * values)
        for part, parameter in built.named_parameters():
            if parameter.ndim == 1 and part.endswith("weight"):  # of a norm
                parameter.add_(1)
    return built


def _built(config: Mapping[str, Any]) -> PreTrainedModel:
    from transformers import AutoConfig, AutoModelForCausalLM

    content = dict(config)
    settings = AutoConfig.for_model(content.pop("model_type").removeprefix(PREFIX), **content)
    auto: Any = AutoModelForCausalLM  # transformers leaves its methods untyped
    built: PreTrainedModel = auto.from_config(settings, attn_implementation="eager").eval()
    return built


def logits(name: str, ids: np.ndarray) -> np.ndarray:
    """Return the logits [T, V] that transformers' model has for ids [T]."""
    with torch.inference_mode():
        whole: np.ndarray = model(name)(torch.from_numpy(ids)[None]).logits[0].numpy()
    return whole


def make_checkpoint(name: str, folder: Path) -> Path:
    """Write a decoder's checkpoint into a new folder."""
    folder.mkdir(parents=True)
    model(name).save_pretrained(folder)
    config = {"model_type": f"{PREFIX}{name}", **FAMILIES[name].config}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = json.dumps(made_up_tokenizer(TOKENS))
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    return folder


def make_bundle(name: str, folder: Path) -> Path:
    """Export a decoder in all of `VARIANTS`, from `folder`/checkpoint to `folder`/bundle."""
    checkpoint = make_checkpoint(name, folder / "checkpoint")
    export_bundle(checkpoint, folder / "bundle", list(VARIANTS))
    return folder / "bundle"
