"""A decoder's facts, written and read back."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tiny import TINY

from refact_edge.runtime.bundle.decoder import (
    Attention,
    Decoder,
    Learned,
    Mlp,
    Norm,
    Rotary,
    decoder_of,
    to_json,
    weight_shapes,
)

PARALLEL = Decoder(
    layers=2,
    width=96,
    vocabulary=448,
    context=256,
    tied=True,
    norm=Norm("rms", 1e-6),
    positions=Rotary(1e4, 8, 2.0),
    attention=Attention(6, 2, 32, 0.125, head_norm=True),
    mlp=Mlp(224, "gelu", gated=True),
    residual="parallel",
    one_norm=True,
    head_bias=True,
    embedding_scale=3.0,
)
BIASED = Decoder(
    layers=1,
    width=64,
    vocabulary=448,
    context=128,
    tied=False,
    norm=Norm("layer", 1e-5, bias=True),
    positions=Learned(130),
    attention=Attention(4, 4, 16, 0.25, bias_qkv=True, bias_out=True),
    mlp=Mlp(256, "gelu_tanh", gated=False, bias=True),
)


@pytest.mark.parametrize("decoder", [TINY, PARALLEL, BIASED])
def test_what_is_written_is_read(decoder: Decoder) -> None:
    assert decoder_of(json.loads(json.dumps(to_json(decoder)))) == decoder


def test_weights_are_listed_by_role_in_the_order_of_the_forward_pass() -> None:
    assert list(weight_shapes(PARALLEL))[:8] == [
        "embedding", "layers.0.norm1.weight", "layers.0.attention.q", "layers.0.attention.kv",
        "layers.0.attention.q_norm", "layers.0.attention.k_norm", "layers.0.attention.out",
        "layers.0.mlp.gate_up",
    ]  # fmt: skip
    assert list(weight_shapes(PARALLEL))[-2:] == ["norm.weight", "head.bias"]
    shapes = weight_shapes(BIASED)
    assert shapes["positions"] == (130, 64)
    assert shapes["layers.0.attention.kv"] == (128, 64)
    assert shapes["layers.0.mlp.up.bias"] == (256,)
    assert shapes["norm.bias"] == (64,)


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda d: d.pop("mlp"), "decoder lacks or should not have mlp"),
    (lambda d: d["mlp"].update(more=1), r"decoder\.mlp lacks or should not have more"),
    (lambda d: d["mlp"].update(activation="relu"), r"'relu', expected one of silu, gelu"),
    (lambda d: d["norm"].update(epsilon=0), "epsilon is 0, expected float"),
    (lambda d: d.update(attention=[]), r"attention is \[\], expected an object"),
    (lambda d: d["attention"].update(scale=2.0), "scale is 2.0, expected 1 at most"),
    (lambda d: d["attention"].update(scale=float("nan")), "expected numbers above 0"),
    (lambda d: d["positions"].update(dims=7), "dims is 7, expected even"),
    (lambda d: d.update(residual="sequential"), "one_norm without parallel layers"),
    (lambda d: d.update(layers=0, width=2**40), "layers is 0, .*; width is 1099511627776"),
]

# Where a decoder has numbers that are no sizes, as keys.
NUMBERS = (
    ("norm", "epsilon"), ("attention", "scale"), ("positions", "base"), ("positions", "factor"),
    ("embedding_scale",), ("logit_scale",),
)  # fmt: skip


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1e39", "1e-46", "-1.0"])
@pytest.mark.parametrize("keys", NUMBERS)
def test_numbers_of_no_single_precision_are_refused(keys: tuple[str, ...], text: str) -> None:
    """JSON may have them: as words, or as more digits than a number has room for."""
    content = to_json(PARALLEL)
    target = content
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = json.loads(text)
    with pytest.raises(ValueError, match=r"epsilon is|scales|positions of base"):
        decoder_of(content)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e39", "1e-46", "0.0"])
def test_slopes_of_no_single_precision_are_refused(text: str) -> None:
    content = to_json(TINY)
    content["positions"]["slopes"] = [*content["positions"]["slopes"][1:], json.loads(text)]
    with pytest.raises(ValueError, match="slopes that are not above 0"):
        decoder_of(content)


@pytest.mark.parametrize(("edit", "complaint"), FAULTS)
def test_facts_that_no_model_has_are_refused(
    edit: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    content = to_json(PARALLEL)
    edit(content)
    with pytest.raises(ValueError, match=complaint):
        decoder_of(content)
