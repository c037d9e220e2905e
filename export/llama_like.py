"""What Llama and the models after it have in common: a config's fields, and tensors' names.

Sources: the configuration classes of transformers 4.57 and 5.24. Their defaults are never taken for
a size; a field that is absent means what it meant before there was such a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..runtime.bundle.decoder import Activation, Attention, Decoder, Mlp, Norm
from .fields import Fields
from .positions import rotary_fields
from .tables import matrix, norm, stacked, whatever_it_holds
from .tensors import Table

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

_LAYER = "model.layers.{}."

# A decoder reads of it what it has: most have no biases.
TENSORS: Table = {
    "embedding": "model.embed_tokens.weight",
    **norm("layers.{}.norm1", f"{_LAYER}input_layernorm"),
    **matrix("layers.{}.attention.q", f"{_LAYER}self_attn.q_proj"),
    **stacked("layers.{}.attention.kv", f"{_LAYER}self_attn.k_proj", f"{_LAYER}self_attn.v_proj"),
    **matrix("layers.{}.attention.out", f"{_LAYER}self_attn.o_proj"),
    **norm("layers.{}.norm2", f"{_LAYER}post_attention_layernorm"),
    **stacked("layers.{}.mlp.gate_up", f"{_LAYER}mlp.gate_proj", f"{_LAYER}mlp.up_proj"),
    **matrix("layers.{}.mlp.down", f"{_LAYER}mlp.down_proj"),
    **norm("norm", "model.norm"),
    "head": "lm_head.weight",
}
tensors = whatever_it_holds(TENSORS)


@dataclass(frozen=True)
class Wording:
    """How a model's config says what others say too.

    Args:
        epsilon: the field of what norms add to the variance.
        activations: those that the model is built with.
        tied: what an absent `tie_word_embeddings` means.
        partial: whether a share of each head is rotated, and not all.
        windows: whether attention in windows is built.

    """

    epsilon: str = "rms_norm_eps"
    activations: tuple[Activation, ...] = ("silu",)
    tied: bool = False
    partial: bool = False
    windows: bool = False


_LLAMA = Wording()


def decoder_of(
    config: Mapping[str, Any],
    problems: list[str],
    *,
    bias_qkv: bool,
    bias_out: bool,
    bias_mlp: bool = False,
    wording: Wording = _LLAMA,
) -> Decoder | None:
    """Read the config.json of a Llama-like model; None when something in it is wrong."""
    fields = Fields(config, problems)
    fields.sizes(SIZES)
    fields.optional_size("kv_heads", "num_key_value_heads")
    fields.optional_size("head_size", "head_dim")
    fields.epsilon(wording.epsilon)
    activation = fields.activation("hidden_act", wording.activations)
    tied = fields.tied(wording.tied)
    check_features(fields, windows=wording.windows)
    positions = rotary_fields(fields, partial=wording.partial)
    if not fields.right or positions is None or activation is None:
        return None
    width, heads = config["hidden_size"], config["num_attention_heads"]
    if config.get("head_dim") is None and width % heads:
        fields.expect("num_attention_heads", False, f"a divisor of hidden_size {width}")
        return None
    size = config.get("head_dim") or width // heads
    kv_heads = config.get("num_key_value_heads") or heads
    return Decoder(
        layers=config["num_hidden_layers"],
        width=width,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=tied,
        norm=Norm("rms", config[wording.epsilon]),
        positions=positions.of_heads(size),
        attention=Attention(heads, kv_heads, size, size**-0.5, bias_qkv, bias_out),
        mlp=Mlp(config["intermediate_size"], activation, gated=True, bias=bias_mlp),
    )


def window_of(config: Mapping[str, Any]) -> int:
    """Return the window of all layers, as `check_features` lets it through; 0 for none."""
    if "full_attention" in (config.get("layer_types") or []):
        return 0
    return config.get("sliding_window") or 0


def check_features(fields: Fields, *, windows: bool = False) -> None:
    """Refuse by name what would compute otherwise, and is not built; with `windows` those are."""
    config = fields.config
    for field in ("num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok"):
        fields.expect(field, not config.get(field), "none: models of experts are not supported")
    windowed = config.get("use_sliding_window") is not False and config.get("sliding_window")
    layers = config.get("layer_types") or []
    kinds = set(map(str, layers)) if isinstance(layers, list) else {"what is no list"}
    allowed = {"full_attention", *(["sliding_attention"] if windows else [])}
    rule = "one kind for all layers, of: " + ", ".join(sorted(allowed))
    fields.expect("layer_types", kinds <= allowed and len(kinds) < 2, rule)
    if not windows and not layers:
        fields.expect("sliding_window", not windowed, "none: attention in windows is not supported")
    quantized = config.get("quantization_config") is None
    fields.expect("quantization_config", quantized, "none: weights in full precision")
