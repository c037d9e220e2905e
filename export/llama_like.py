"""What Llama and the models after it have in common: a config's fields, and tensors' names.

Sources: the configuration classes of transformers 4.57 and 5.24. Their defaults are never taken for
a size; a field that is absent means what it meant before there was such a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.bundle.decoder import Attention, Decoder, Mlp, Norm, Rotary
from .fields import Fields
from .tensors import Stacked, Table

SIZES = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
    "hidden": "intermediate_size",
}
IGNORED = ("rotary_emb.inv_freq",)  # buffers in files of early versions
ZERO: tuple[str, ...] = ()
_FIRST_BASE = 10000.0  # of positions, before configs had a field for it

_LAYER = "model.layers.{}."


def _both(role: str, tensor: str) -> Table:
    return {role: f"{_LAYER}{tensor}.weight", f"{role}.bias": f"{_LAYER}{tensor}.bias"}


def _pair(role: str, first: str, second: str) -> Table:
    stacked = {
        kind: Stacked((f"{_LAYER}{first}.{kind}", f"{_LAYER}{second}.{kind}"))
        for kind in ("weight", "bias")
    }
    return {role: stacked["weight"], f"{role}.bias": stacked["bias"]}


# A decoder reads of it what it has: most have no biases.
TENSORS: Table = {
    "embedding": "model.embed_tokens.weight",
    "layers.{}.norm1.weight": f"{_LAYER}input_layernorm.weight",
    **_both("layers.{}.attention.q", "self_attn.q_proj"),
    **_pair("layers.{}.attention.kv", "self_attn.k_proj", "self_attn.v_proj"),
    **_both("layers.{}.attention.out", "self_attn.o_proj"),
    "layers.{}.norm2.weight": f"{_LAYER}post_attention_layernorm.weight",
    **_pair("layers.{}.mlp.gate_up", "mlp.gate_proj", "mlp.up_proj"),
    **_both("layers.{}.mlp.down", "mlp.down_proj"),
    "norm.weight": "model.norm.weight",
    "head": "lm_head.weight",
}


def tensors(names: set[str]) -> Table:
    """Return where the weights of a checkpoint lie, whatever tensors it holds."""
    del names
    return TENSORS


def decoder_of(
    config: Mapping[str, Any],
    problems: list[str],
    *,
    bias_qkv: bool,
    bias_out: bool,
    bias_mlp: bool = False,
) -> Decoder | None:
    """Read the config.json of a Llama-like model; None when something in it is wrong."""
    fields = Fields(config, problems)
    fields.sizes(SIZES)
    fields.optional_size("kv_heads", "num_key_value_heads")
    fields.optional_size("head_size", "head_dim")
    fields.epsilon("rms_norm_eps")
    fields.expect("hidden_act", config.get("hidden_act") in ("silu", "swish"), "'silu'")
    tied = config.get("tie_word_embeddings")
    fields.expect("tie_word_embeddings", tied in (None, True, False), "true or false")
    check_features(fields)
    positions = _positions(fields)
    if not fields.right or positions is None:
        return None
    width, heads = config["hidden_size"], config["num_attention_heads"]
    if config.get("head_dim") is None and width % heads:
        fields.expect("num_attention_heads", False, f"a divisor of hidden_size {width}")
        return None
    size = config.get("head_dim") or width // heads
    kv_heads = config.get("num_key_value_heads") or heads
    base, factor = positions
    return Decoder(
        layers=config["num_hidden_layers"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=tied is True,
        norm=Norm("rms", config["rms_norm_eps"]),
        positions=Rotary(base, size, factor),
        attention=Attention(heads, kv_heads, size, size**-0.5, bias_qkv, bias_out),
        mlp=Mlp(config["intermediate_size"], "silu", gated=True, bias=bias_mlp),
    )


def check_features(fields: Fields) -> None:
    """Refuse by name what would compute otherwise, and is not built."""
    config = fields.config
    for field in ("num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok"):
        fields.expect(field, not config.get(field), "none: models of experts are not supported")
    windowed = config.get("use_sliding_window") is not False and config.get("sliding_window")
    layers = config.get("layer_types") or ()
    windowed = windowed or any(kind != "full_attention" for kind in layers)
    name = "layer_types" if layers else "sliding_window"
    fields.expect(name, not windowed, "none: attention in windows is not supported")
    quantized = config.get("quantization_config") is None
    fields.expect("quantization_config", quantized, "none: weights in full precision")


def _positions(fields: Fields) -> tuple[float, float] | None:
    """Return base and factor of rotary positions, as transformers 4 or 5 write them."""
    config = fields.config
    newer = config.get("rope_parameters")
    name = "rope_scaling" if newer is None else "rope_parameters"
    scaling = config.get(name) or {}
    if not isinstance(scaling, Mapping):
        fields.expect(name, False, "an object")
        return None
    base = scaling.get("rope_theta", config.get("rope_theta", _FIRST_BASE))
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    factor = scaling.get("factor", 1.0) if kind == "linear" else 1.0
    partial = scaling.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    right = kind in ("default", "linear")
    fields.expect(name, right, "none, or linear: other kinds of scaling are not supported")
    fields.expect("partial_rotary_factor", partial == 1, "1: whole heads are rotated")
    numbers = all(type(one) in (int, float) and one > 0 for one in (base, factor))
    fields.expect("rope_theta", numbers, "a number above 0, and so the factor of its scaling")
    return (float(base), float(factor)) if right and numbers else None


def flag(config: Mapping[str, Any], problems: list[str], field: str) -> bool:
    """Return a field that is true or false; absent is false."""
    value = config.get(field, False)
    if type(value) is not bool:
        problems.append(f"config.json: {field} is {value!r}, expected true or false")
    return value is True
