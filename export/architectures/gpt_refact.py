"""GPTRefact: MQA with ALiBi, weight-only LayerNorm, SwiGLU, untied embeddings, no bias.

Sources: the configuration and modelling code published with smallcloudai/Refact-1_6B-fim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.bundle.contract import (
    ATTENTION_MASK,
    INPUT_IDS,
    LOGITS,
    LOGITS_TO_KEEP,
    Sizes,
    past_name,
    present_name,
)
from ...runtime.bundle.limits import SIZES, is_size
from .. import blocks, starcoder
from ..blocks import Weights
from ..graph import ONNX_TYPES, Graph
from . import STREAM, STREAM_OUT, Role, WeightSpec

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURE = "GPTRefactForCausalLM"
SPECIAL_TOKENS = starcoder.SPECIAL_TOKENS
_ORDER = ("ln_1", "attn.q", "attn.kv", "attn.c_proj", "ln_2", "mlp.gate_up_proj", "mlp.c_proj")
# What mlp.c_proj reads is turned in blocks of this size. It is the one turn that costs anything at
# run time. Rounded to bytes, what it reads lost a mean KL of 0.000160 unturned on the demo
# checkpoint, 0.000065 in blocks of 16, 0.000038 of 32 and 0.000024 of 64, which take twice as long.
_GATED_TURN = 32
MUST_DIFFER = ("transformer.wte.weight", "lm_head.weight")


@dataclass(frozen=True)
class Config:
    """Sizes of one model: layers, heads, E, F, V, the context in tokens."""

    layers: int
    heads: int
    width: int
    vocabulary: int
    context: int
    epsilon: float

    @property
    def head_size(self) -> int:
        """Size of one head."""
        return self.width // self.heads

    @property
    def inner(self) -> int:
        """Width of the MLP: two thirds of four times E, rounded up to a multiple of 256."""
        return -(-int(2 * 4 * self.width / 3) // 256) * 256

    @property
    def published(self) -> bool:
        """Whether this is the 1.6B model, by its width and depth."""
        return (self.width, self.layers) == (PUBLISHED.width, PUBLISHED.layers)

    def as_json(self) -> dict[str, Any]:
        """Return the sizes under the names they have in config.json."""
        return {name: getattr(self, field) for field, name in _FIELDS.items()}


_FIELDS = {
    "layers": "n_layer",
    "heads": "n_head",
    "width": "n_embd",
    "vocabulary": "vocab_size",
    "context": "n_positions",
    "epsilon": "layer_norm_epsilon",
}

# A checkpoint of the published width and depth must carry just these values; but fine-tuning leaves
# fewer padding rows of the vocabulary, or more.
PUBLISHED = Config(layers=32, heads=32, width=2048, vocabulary=49216, context=4096, epsilon=1e-5)
PUBLISHED_TOKENS = 49152


def read_config(config: Mapping[str, Any], problems: list[str]) -> Config | None:
    """Read config.json; no size is ever filled in from a default."""

    def expect(field: str, ok: bool, rule: str) -> None:
        if not ok:
            problems.append(f"config.json: {field} is {config.get(field)!r}, expected {rule}")

    before = len(problems)
    for size, field in _FIELDS.items():
        if size == "epsilon":
            continue
        expect(field, is_size(size, config.get(field)), f"a whole number, 1 to {SIZES[size]}")
    epsilon = config.get("layer_norm_epsilon")
    expect("layer_norm_epsilon", isinstance(epsilon, float) and 0 < epsilon < 1, "like 1e-05")
    expect("architectures", config.get("architectures") == [ARCHITECTURE], f"['{ARCHITECTURE}']")
    expect("multi_query", config.get("multi_query") is True, "true: one key/value head")
    even = config.get("n_embd")
    expect("n_embd", not isinstance(even, int) or even % 2 == 0, "an even number")
    expect("n_inner", config.get("n_inner") is None, "null")
    expect("eos_token_id", config.get("eos_token_id") == 0, "0")
    expect("tie_word_embeddings", not config.get("tie_word_embeddings"), "false or absent")
    if len(problems) > before:
        return None
    if config["n_embd"] % config["n_head"]:
        expect("n_head", False, f"a divisor of n_embd {config['n_embd']}")
        return None
    read = Config(**{ours: config[name] for ours, name in _FIELDS.items()})
    for field, value in PUBLISHED.as_json().items() if read.published else ():
        padded = field == "vocab_size" and config[field] >= PUBLISHED_TOKENS
        same = config[field] == value or padded
        expect(field, same, f"{value} as in the published 1.6B model")
    return read


def check_tensors(
    config: Config, shapes: Mapping[str, tuple[int, ...]], problems: list[str]
) -> None:
    """Compare names and shapes with the layout, fused or unfused, that the names follow."""
    expected = checkpoint_shapes(config, _is_fused(set(shapes)))
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected and name not in must_be_zero({name})]
    if "lm_head.weight" in missing:
        problems.append("lm_head.weight is missing; it is never assumed to be tied to wte")
    for kind, names in (("lacks", missing), ("holds unexpected", extra)):
        if names:
            problems.append(
                f"the checkpoint {kind} {len(names)} tensors beside {len(expected)} expected ones: "
                f"{', '.join(sorted(names)[:5])}"
            )
    problems.extend(
        f"{name} has shape {list(shapes[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in shapes and tuple(shapes[name]) != shape
    )


def check_vocabulary(config: Config, tokens: int, problems: list[str]) -> None:
    """Compare the tokenizer's size with the embedding's; rows beyond it are padding."""
    if tokens > config.vocabulary:
        problems.append(
            f"tokenizer.json has {tokens} tokens, more than the {config.vocabulary} rows of wte"
        )
    if config.published and tokens not in (0, PUBLISHED_TOKENS):
        problems.append(f"tokenizer.json has {tokens} tokens, expected {PUBLISHED_TOKENS}")


def _is_fused(names: set[str]) -> bool:
    return not any(name.endswith((".attn.k.weight", ".mlp.linear_1.weight")) for name in names)


def checkpoint_shapes(config: Config, fused: bool) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a checkpoint in either published layout."""
    e, f, d = config.width, config.inner, config.head_size
    if fused:
        varying = {"attn.kv": (2 * d, e), "mlp.gate_up_proj": (2 * f, e)}
    else:
        varying = {"attn.k": (d, e), "attn.v": (d, e)}
        varying |= {"mlp.linear_1": (f, e), "mlp.linear_3": (f, e)}
    layer: dict[str, tuple[int, ...]] = {"ln_1": (e,), "ln_2": (e,), "attn.q": (e, e)}
    layer |= {"attn.c_proj": (e, e), "mlp.c_proj": (e, f), **varying}
    shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (config.vocabulary, e)}
    for i in range(config.layers):
        shapes |= {f"transformer.h.{i}.{name}.weight": shape for name, shape in layer.items()}
    return shapes | {"ln_f.weight": (e,), "lm_head.weight": (config.vocabulary, e)}


def must_be_zero(names: set[str]) -> list[str]:
    """Name the untrained bias of the last norm, which a file may carry."""
    return sorted(names & {"ln_f.bias"})


def weight_specs(config: Config, names: set[str]) -> list[WeightSpec]:
    """List the weights, always in the fused layout, in the order of the forward pass."""
    fused = _is_fused(names)
    shapes = checkpoint_shapes(config, fused=True)
    unfused = {
        "attn.kv": ("attn.k", "attn.v"),
        "mlp.gate_up_proj": ("mlp.linear_1", "mlp.linear_3"),
    }

    def spec(name: str, role: Role, layer: int | None = None, **more: Any) -> WeightSpec:
        sources: tuple[str, ...] = (name,)
        for part, parts in unfused.items() if not fused else ():
            if name.endswith(f".{part}.weight"):
                sources = tuple(name.replace(f".{part}.", f".{source}.") for source in parts)
        return WeightSpec(name, shapes[name], role, sources, layer, **more)

    e, d = config.width, config.head_size
    specs = [spec("transformer.wte.weight", "embedding", reads=e)]
    for i in range(config.layers):
        ln_1, q, kv, mixed, ln_2, gate_up, down = (
            f"transformer.h.{i}.{part}.weight" for part in _ORDER
        )
        specs += [
            spec(ln_1, "norm", i),
            spec(q, "matrix", i, writer=mixed, norm=ln_1, reads=e),
            spec(kv, "kv", i, writer=mixed, norm=ln_1, reads=e, writes=d, writes_from=d),
            spec(mixed, "matrix", i, writer=mixed, reads=d, writes=e),
            spec(ln_2, "norm", i),
            spec(gate_up, "matrix", i, writer=down, norm=ln_2, reads=e),
            spec(down, "matrix", i, writer=down, reads=_GATED_TURN, writes=e),
        ]
    head = spec("lm_head.weight", "head", norm="ln_f.weight", reads=e)
    return [*specs, spec("ln_f.weight", "norm"), head]


def sizes(config: Config, tokens: int) -> Sizes:
    """Return the numbers the engine needs."""
    return Sizes(
        layers=config.layers,
        heads=config.heads,
        kv_heads=1,
        head_size=config.head_size,
        width=config.width,
        vocabulary=config.vocabulary,
        tokens=tokens,
        context=config.context,
    )


def prompts() -> dict[str, Any]:
    """Return the prompt layouts that this model was trained with."""
    empty = starcoder.special_id("<empty_output>")
    return {
        **starcoder.fim_prompts(default="spm"),
        "chat": {
            "default_system": "You are a programming assistant",
            "layouts": {
                "system": [empty, "SYSTEM {}\n"],
                "user": [empty, "USER {}\n"],
                "assistant": [empty, "ASSISTANT {}\n"],
                "answer": [empty, "ASSISTANT"],
            },
        },
    }


def sampling() -> dict[str, Any]:
    """Return the defaults of the authors' own server."""
    return {"temperature": 0.2, "top_k": 50, "top_p": 1.0, "max_tokens": 50}


def build(g: Graph, config: Config, weights: Weights, *, standard: bool) -> None:
    """Build the graph that other loaders open, or the engine's."""
    kv = weights.activations
    cache: list[int | str] = ["batch_size", 1, "past", config.head_size]
    ids = g.input(INPUT_IDS, "int64", ["batch_size", "tokens"])
    mask = g.input(ATTENTION_MASK, "int64", ["batch_size", "total"]) if standard else None
    pasts = [
        tuple(
            g.input(past_name(i, part, standard=standard), kv, cache) for part in ("key", "value")
        )
        for i in range(config.layers)
    ]
    keep = None if standard else g.input(LOGITS_TO_KEEP, "int64", [])
    slopes = blocks.alibi_slopes(config.heads)
    s = blocks.sequence(g, ids, pasts[0][0], slopes, kv, mask)

    x = blocks.embedding(
        g, g.op("Reshape", ids, g.constant([-1])), weights, "transformer.wte.weight"
    )
    presents = []
    for i, past in enumerate(pasts):
        x, *present = _layer(g, x, config, weights, s, i, past, standard)
        presents.append(present)
    if keep is not None:
        x = blocks.last_rows(g, x, s, keep, config.width)
    x = blocks.layer_norm(g, x, weights, "ln_f.weight", config.epsilon)
    logits = blocks.linear(g, x, weights, "lm_head.weight")
    if weights.activations != "float32":
        logits = g.op("Cast", logits, attributes={"to": ONNX_TYPES["float32"]})
    logits = blocks.by_batch(g, logits, s, config.vocabulary)
    kept, rows = ("tokens", "total") if standard else ("kept", "tokens")
    g.output(logits, LOGITS, "float32", ["batch_size", kept, config.vocabulary])
    for i, present in enumerate(presents):
        for part, value in zip(("key", "value"), present, strict=True):
            g.output(value, present_name(i, part), kv, ["batch_size", 1, rows, config.head_size])


def build_embedding(g: Graph, config: Config, weights: Weights) -> None:
    """Build ids [1, T] -> the stream [T, E] before the first layer."""
    ids = g.input(INPUT_IDS, "int64", [1, "tokens"])
    flat = g.op("Reshape", ids, g.constant([-1]))
    x = blocks.embedding(g, flat, weights, "transformer.wte.weight")
    g.output(x, STREAM_OUT, "float32", ["tokens", config.width])


def build_layer(g: Graph, config: Config, weights: Weights) -> None:
    """Build the first layer alone, from the start of one text: the stream [T, E] in and out."""
    ids = g.input(INPUT_IDS, "int64", [1, "tokens"])
    x = g.input(STREAM, "float32", ["tokens", config.width])
    nothing = g.constant(np.empty((1, 1, 0, config.head_size)), "float32")
    s = blocks.sequence(g, ids, nothing, blocks.alibi_slopes(config.heads), "float32", None)
    x, _, _ = _layer(g, x, config, weights, s, 0, (nothing, nothing), standard=False)
    g.output(x, STREAM_OUT, "float32", ["tokens", config.width])


def build_head(g: Graph, config: Config, weights: Weights) -> None:
    """Build the stream [T, E] after the last layer -> logits [T, V]."""
    x = g.input(STREAM, "float32", ["tokens", config.width])
    x = blocks.layer_norm(g, x, weights, "ln_f.weight", config.epsilon)
    logits = blocks.linear(g, x, weights, "lm_head.weight")
    g.output(logits, LOGITS, "float32", ["tokens", config.vocabulary])


def _layer(
    g: Graph,
    x: str,
    config: Config,
    weights: Weights,
    s: blocks.Sequence,
    i: int,
    past: tuple[str, ...],
    standard: bool,
) -> tuple[str, str, str]:
    """Return the stream after the layer, and the layer's present keys and values."""
    name, size = f"transformer.h.{i}", config.head_size
    normed = blocks.layer_norm(g, x, weights, f"{name}.ln_1.weight", config.epsilon)
    q = blocks.linear(g, normed, weights, f"{name}.attn.q.weight")
    q = blocks.heads_last(g, q, s, size)
    kv = blocks.linear(g, normed, weights, f"{name}.attn.kv.weight")
    halves = g.ops("Split", kv, outputs=2, attributes={"axis": -1, "num_outputs": 2})
    key, value = (blocks.heads_last(g, half, s, size) for half in halves)
    keys, values = (
        g.op("Concat", old, new, attributes={"axis": 2})
        for old, new in zip(past, (key, value), strict=True)
    )
    mixed = blocks.attend(g, q, keys, values, s, config.heads, size)
    x = g.op("Add", x, blocks.linear(g, mixed, weights, f"{name}.attn.c_proj.weight"))
    normed = blocks.layer_norm(g, x, weights, f"{name}.ln_2.weight", config.epsilon)
    gate_up = blocks.linear(g, normed, weights, f"{name}.mlp.gate_up_proj.weight")
    gated = blocks.swiglu(g, gate_up)
    if weights.turned:
        gated = blocks.turned(g, gated, config.inner, _GATED_TURN)
    x = g.op("Add", x, blocks.linear(g, gated, weights, f"{name}.mlp.c_proj.weight"))
    return (x, keys, values) if standard else (x, key, value)


def reference(config: Config) -> nn.Module:
    """Return the torch module, its weights not yet set."""
    from ..reference.gpt_refact import GPTRefact

    return GPTRefact(
        vocabulary=config.vocabulary,
        width=config.width,
        heads=config.heads,
        layers=config.layers,
        inner=config.inner,
        epsilon=config.epsilon,
    )
