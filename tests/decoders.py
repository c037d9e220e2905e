"""Tiny random decoders of three families, built with transformers' own classes, as bundles.

Their facts are told here as an architecture's file tells them, and exported through the same code.
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

from refact_edge.export.architectures import register
from refact_edge.export.checkpoint import Checkpoint
from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import made_up_tokenizer
from refact_edge.export.families import REFACT
from refact_edge.export.prompts import PromptFamily
from refact_edge.export.sources import Heads, Shared, Stacked
from refact_edge.export.tensors import Table
from refact_edge.runtime.bundle.decoder import (
    Attention,
    Decoder,
    Learned,
    Mlp,
    Norm,
    Rotary,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DECODERS = ("llama", "gpt_neox", "gpt_bigcode")
VARIANTS = ("fp32", "int8", "int4")
TOKENS = 420
PREFIX = "tiny_"  # of model types, so that no family is known by its own name

WIDTH, HEADS, LAYERS, VOCABULARY, CONTEXT = 96, 6, 2, 448, 256
SIZE = WIDTH // HEADS


def llama_facts(config: Mapping[str, Any]) -> Decoder:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    size = config.get("head_dim", width // heads)
    scaling = config.get("rope_scaling", {"factor": 1.0})
    return Decoder(
        layers=config["num_hidden_layers"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=config["tie_word_embeddings"],
        norm=Norm("rms", config["rms_norm_eps"]),
        positions=Rotary(config["rope_theta"], size, scaling["factor"]),
        attention=Attention(heads, config["num_key_value_heads"], size, size**-0.5),
        mlp=Mlp(config["intermediate_size"], "silu", gated=True),
    )


def _gpt_neox(config: Mapping[str, Any]) -> Decoder:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    size = width // heads
    attention = Attention(heads, heads, size, size**-0.5, bias_qkv=True, bias_out=True)
    return Decoder(
        layers=config["num_hidden_layers"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=config["tie_word_embeddings"],
        norm=Norm("layer", config["layer_norm_eps"], bias=True),
        positions=Rotary(float(config["rotary_emb_base"]), int(size * config["rotary_pct"])),
        attention=attention,
        mlp=Mlp(config["intermediate_size"], "gelu", gated=False, bias=True),
        residual="parallel",
    )


def _gpt_bigcode(config: Mapping[str, Any]) -> Decoder:
    width, heads = config["n_embd"], config["n_head"]
    size = width // heads
    return Decoder(
        layers=config["n_layer"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["n_positions"],
        tied=config["tie_word_embeddings"],
        norm=Norm("layer", config["layer_norm_epsilon"], bias=True),
        positions=Learned(config["n_positions"]),
        attention=Attention(heads, 1, size, size**-0.5, bias_qkv=True, bias_out=True),
        mlp=Mlp(4 * width, "gelu_tanh", gated=False, bias=True),
    )


def with_bias(role: str, tensor: str) -> Table:
    """Return the rows of the table for a matrix or a norm with a bias."""
    weight = "" if role.split(".")[-1] in ("q", "out", "up", "down", "head") else ".weight"
    return {f"{role}{weight}": f"{tensor}.weight", f"{role}.bias": f"{tensor}.bias"}


_L = "model.layers.{}."
LLAMA: Table = {
    "embedding": "model.embed_tokens.weight",
    "layers.{}.norm1.weight": f"{_L}input_layernorm.weight",
    "layers.{}.attention.q": f"{_L}self_attn.q_proj.weight",
    "layers.{}.attention.kv": Stacked(
        (f"{_L}self_attn.k_proj.weight", f"{_L}self_attn.v_proj.weight")
    ),
    "layers.{}.attention.out": f"{_L}self_attn.o_proj.weight",
    "layers.{}.norm2.weight": f"{_L}post_attention_layernorm.weight",
    "layers.{}.mlp.gate_up": Stacked((f"{_L}mlp.gate_proj.weight", f"{_L}mlp.up_proj.weight")),
    "layers.{}.mlp.down": f"{_L}mlp.down_proj.weight",
    "norm.weight": "model.norm.weight",
    "head": "lm_head.weight",
}

_N = "gpt_neox.layers.{}."
_QKV = f"{_N}attention.query_key_value"
_GPT_NEOX: Table = {
    "embedding": "gpt_neox.embed_in.weight",
    **with_bias("layers.{}.norm1", f"{_N}input_layernorm"),
    "layers.{}.attention.q": Heads(f"{_QKV}.weight", (0,)),
    "layers.{}.attention.q.bias": Heads(f"{_QKV}.bias", (0,)),
    "layers.{}.attention.kv": Heads(f"{_QKV}.weight", (1, 2)),
    "layers.{}.attention.kv.bias": Heads(f"{_QKV}.bias", (1, 2)),
    **with_bias("layers.{}.attention.out", f"{_N}attention.dense"),
    **with_bias("layers.{}.norm2", f"{_N}post_attention_layernorm"),
    **with_bias("layers.{}.mlp.up", f"{_N}mlp.dense_h_to_4h"),
    **with_bias("layers.{}.mlp.down", f"{_N}mlp.dense_4h_to_h"),
    **with_bias("norm", "gpt_neox.final_layer_norm"),
    "head": "embed_out.weight",
}

_B = "transformer.h.{}."
_MATRICES = ("layers.{}.attention.q", "layers.{}.attention.kv")
_BIASES = tuple(f"{role}.bias" for role in _MATRICES)
_GPT_BIGCODE: Table = {
    "embedding": "transformer.wte.weight",
    "positions": "transformer.wpe.weight",
    **with_bias("layers.{}.norm1", f"{_B}ln_1"),
    **{role: Shared(f"{_B}attn.c_attn.weight", _MATRICES) for role in _MATRICES},
    **{role: Shared(f"{_B}attn.c_attn.bias", _BIASES) for role in _BIASES},
    **with_bias("layers.{}.attention.out", f"{_B}attn.c_proj"),
    **with_bias("layers.{}.norm2", f"{_B}ln_2"),
    **with_bias("layers.{}.mlp.up", f"{_B}mlp.c_fc"),
    **with_bias("layers.{}.mlp.down", f"{_B}mlp.c_proj"),
    **with_bias("norm", "transformer.ln_f"),
    "head": "lm_head.weight",
}


@dataclass  # not frozen: an Architecture's attributes may be set
class Family:
    """An architecture (see `refact_edge.export.architectures`), and a config to build."""

    facts: Callable[[Mapping[str, Any]], Decoder]
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
        _gpt_neox,
        _GPT_NEOX,
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
        _gpt_bigcode,
        _GPT_BIGCODE,
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
