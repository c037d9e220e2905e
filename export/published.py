"""Published models by their shape: the config.json of each, and what its tokenizer holds.

Enough to make a checkpoint or a bundle of random weights, for measuring a model that is not at
hand. Each architecture's file reads the config.json as it reads a real one. Where a field was not
to be had it is what the family's other models say; none of these changes a size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import OptionError
from .refact_shapes import PUBLISHED, PUBLISHED_TOKENS, config_sizes
from .starcoder import SPECIAL_TOKENS

STANDARD_DEVIATION = 0.02  # initializer_range of all of them
LAYER_FIELDS = ("num_hidden_layers", "n_layer")


@dataclass(frozen=True)
class Shape:
    """What is random in no checkpoint of a model.

    Args:
        config: its config.json.
        tokens: ids of its tokenizer.
        specials: ids of the special tokens.

    """

    config: Mapping[str, Any]
    tokens: int
    specials: Mapping[str, int]

    def with_layers(self, layers: int) -> Shape:
        """Return a smaller stand-in, or a larger one."""
        fields = {name: layers for name in LAYER_FIELDS if name in self.config}
        return replace(self, config={**self.config, **fields})


def refact_shape(decoder: Decoder, tokens: int) -> Shape:
    """Return a Refact model of any shape, with the fields of the published config.json."""
    config = {
        "architectures": ["GPTRefactForCausalLM"],
        "model_type": "gpt_refact",
        **config_sizes(decoder),
        "n_inner": None,
        "multi_query": True,
        "eos_token_id": SPECIAL_TOKENS.index("<|endoftext|>"),
        "initializer_range": STANDARD_DEVIATION,
        "torch_dtype": "bfloat16",
    }
    return Shape(config, tokens, _numbered(SPECIAL_TOKENS))


def _numbered(tokens: tuple[str, ...], first: int = 0) -> dict[str, int]:
    return {token: first + place for place, token in enumerate(tokens)}


# Special tokens, in the order of their ids.
_SMOLLM2 = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>",
    "<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>",
    "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<jupyter_script>",
    "<empty_output>",
)  # fmt: skip
_QWEN = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
    "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
_BAR = "\uff5c"  # a wide one
_DEEPSEEK = (
    *(f"<{_BAR}{name}{_BAR}>" for name in (
        "begin▁of▁sentence", "end▁of▁sentence", "fim▁hole", "fim▁begin", "fim▁end",
    )),
    "<pad>", "<|User|>", "<|Assistant|>", "<|EOT|>",
)  # fmt: skip
_CODEGEN25 = (
    *SPECIAL_TOKENS[1:], *(f"<dummy_{n}>" for n in range(4)), "<sep>", "<eom>",
    *(f"<mask_{n}>" for n in range(881, 0, -1)),
)  # fmt: skip
_SEED = (
    "<[begin▁of▁sentence]>", "<[PAD▁TOKEN]>", "<[end▁of▁sentence]>", "<[fim-suffix]>",
    "<[fim-prefix]>", "<[fim-middle]>",
)  # fmt: skip


@dataclass(frozen=True)
class _Llama:
    """The sizes of a Llama, in the words of its config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = False

    def config(self, end: int, **more: Any) -> dict[str, Any]:
        """Return the config.json; `end` is the id of the end of text."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **vars(self),
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "rope_scaling": None,
            "bos_token_id": end,
            "eos_token_id": end,
            "initializer_range": STANDARD_DEVIATION,
            "torch_dtype": "bfloat16",
            **more,
        }


def _smollm2(sizes: _Llama) -> Shape:
    config = sizes.config(0)
    return Shape(config, 49152, _numbered(_SMOLLM2))


def _deepseek(sizes: _Llama) -> Shape:
    scaling = {"type": "linear", "factor": 4.0}
    config = sizes.config(32014, bos_token_id=32013, rope_scaling=scaling)
    return Shape(config, 32022, _numbered(_DEEPSEEK, 32013))


def _granite(sizes: _Llama) -> Shape:
    config = sizes.config(0, attention_bias=True, mlp_bias=True)
    return Shape(config, 49152, _numbered(SPECIAL_TOKENS))


def _qwen(sizes: _Llama) -> Shape:
    config = sizes.config(
        151643,
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        use_sliding_window=False,
        sliding_window=None,
        max_window_layers=sizes.num_hidden_layers,
    )
    del config["attention_bias"], config["mlp_bias"]  # which Qwen2 has no words for
    return Shape(config, 151665, _numbered(_QWEN, 151643))


def _decicoder() -> Shape:
    sizes = _Llama(2048, 20, 32, 4, 5888, 49152, 2048)
    config = sizes.config(
        0,
        architectures=["DeciCoderForCausalLM"],
        model_type="decicoder",
        naive_attention_prefill=False,
        naive_attention_decode_batched=True,
        naive_attention_decode_single=False,
    )
    return Shape(config, 49152, _numbered(SPECIAL_TOKENS))


def _codegen25() -> Shape:
    sizes = _Llama(4096, 32, 32, 32, 11008, 51200, 2048, rms_norm_eps=1e-6)
    specials = {"<|endoftext|>": 50256, **_numbered(_CODEGEN25, 50295)}
    return Shape(sizes.config(50256), 51200, specials)


def _seed() -> Shape:
    sizes = _Llama(4096, 32, 32, 8, 14336, 155136, 32768, 500_000.0, 1e-6)
    config = sizes.config(2, bos_token_id=0)
    return Shape(config, 155136, _numbered(_SEED))


def _qwen_sizes(hidden: int, layers: int, heads: int, kv: int, mlp: int) -> _Llama:
    tied = hidden < 3584
    rows = 151936 if tied else 152064
    return _Llama(hidden, layers, heads, kv, mlp, rows, 32768, 1e6, 1e-6, tied)


SHAPES: dict[str, Shape] = {
    "refact-1.6b": refact_shape(PUBLISHED, PUBLISHED_TOKENS),
    "qwen2.5-coder-0.5b": _qwen(_qwen_sizes(896, 24, 14, 2, 4864)),
    "qwen2.5-coder-1.5b": _qwen(_qwen_sizes(1536, 28, 12, 2, 8960)),
    "qwen2.5-coder-3b": _qwen(_qwen_sizes(2048, 36, 16, 2, 11008)),
    "qwen2.5-coder-7b": _qwen(_qwen_sizes(3584, 28, 28, 4, 18944)),
    "smollm2-135m": _smollm2(_Llama(576, 30, 9, 3, 1536, 49152, 8192, 1e5, 1e-5, True)),
    "smollm2-360m": _smollm2(_Llama(960, 32, 15, 5, 2560, 49152, 8192, 1e5, 1e-5, True)),
    "smollm2-1.7b": _smollm2(_Llama(2048, 24, 32, 32, 8192, 49152, 8192, 1e5, 1e-5, True)),
    "decicoder-1b": _decicoder(),
    "deepseek-coder-1.3b": _deepseek(
        _Llama(2048, 24, 16, 16, 5504, 32256, 16384, 100_000.0, 1e-6)
    ),
    "deepseek-coder-6.7b": _deepseek(
        _Llama(4096, 32, 32, 32, 11008, 32256, 16384, 100_000.0, 1e-6)
    ),
    "codegen2.5-7b": _codegen25(),
    "granite-code-3b": _granite(
        _Llama(2560, 32, 32, 32, 10240, 49152, 2048, tie_word_embeddings=True)
    ),
    "granite-code-8b": _granite(
        _Llama(4096, 36, 32, 8, 14336, 49152, 4096, tie_word_embeddings=True)
    ),
    "seed-coder-8b": _seed(),
}  # fmt: skip


def shape_of(name: str) -> Shape:
    """Return a published model's shape.

    Raises:
        OptionError: when there is none of that name; lists those there are.

    """
    if name not in SHAPES:
        raise OptionError(f"shape {name!r}; expected one of: {', '.join(SHAPES)}")
    return SHAPES[name]
