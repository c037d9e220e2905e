"""Llama-like models by their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .shape import STANDARD_DEVIATION, Shape, numbered
from .starcoder import SPECIAL_TOKENS

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
class Llama:
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


def _smollm2(sizes: Llama) -> Shape:
    config = sizes.config(0)
    return Shape(config, 49152, numbered(_SMOLLM2))


def _deepseek(sizes: Llama) -> Shape:
    scaling = {"type": "linear", "factor": 4.0}
    config = sizes.config(32014, bos_token_id=32013, rope_scaling=scaling)
    return Shape(config, 32022, numbered(_DEEPSEEK, 32013))


def _granite(sizes: Llama) -> Shape:
    config = sizes.config(0, attention_bias=True, mlp_bias=True)
    return Shape(config, 49152, numbered(SPECIAL_TOKENS))


def _qwen(sizes: Llama) -> Shape:
    config = sizes.config(
        151643,
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        use_sliding_window=False,
        sliding_window=None,
        max_window_layers=sizes.num_hidden_layers,
    )
    del config["attention_bias"], config["mlp_bias"]  # which Qwen2 has no words for
    return Shape(config, 151665, numbered(_QWEN, 151643))


def _decicoder() -> Shape:
    sizes = Llama(2048, 20, 32, 4, 5888, 49152, 2048)
    config = sizes.config(
        0,
        architectures=["DeciCoderForCausalLM"],
        model_type="decicoder",
        naive_attention_prefill=False,
        naive_attention_decode_batched=True,
        naive_attention_decode_single=False,
    )
    return Shape(config, 49152, numbered(SPECIAL_TOKENS))


def _codegen25() -> Shape:
    sizes = Llama(4096, 32, 32, 32, 11008, 51200, 2048, rms_norm_eps=1e-6)
    specials = {"<|endoftext|>": 50256, **numbered(_CODEGEN25, 50295)}
    return Shape(sizes.config(50256), 51200, specials)


def _seed() -> Shape:
    sizes = Llama(4096, 32, 32, 8, 14336, 155136, 32768, 500_000.0, 1e-6)
    config = sizes.config(2, bos_token_id=0)
    return Shape(config, 155136, numbered(_SEED))


def _qwen_sizes(hidden: int, layers: int, heads: int, kv: int, mlp: int) -> Llama:
    tied = hidden < 3584
    rows = 151936 if tied else 152064
    return Llama(hidden, layers, heads, kv, mlp, rows, 32768, 1e6, 1e-6, tied)


_INFILL = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")


def _codellama(sizes: Llama) -> Shape:
    config = sizes.config(2, bos_token_id=1)
    return Shape(config, 32016, {"<s>": 1, "</s>": 2, **numbered(_INFILL, 32007)})


def _codestral() -> Shape:
    sizes = Llama(6144, 56, 48, 8, 16384, 32768, 32768, 1e6)
    config = sizes.config(
        2,
        architectures=["MistralForCausalLM"],
        model_type="mistral",
        bos_token_id=1,
        sliding_window=None,
    )
    specials = {"<s>": 1, "</s>": 2, "[INST]": 3, "[/INST]": 4, "[PREFIX]": 11, "[SUFFIX]": 13}
    return Shape(config, 32768, specials)


def _qwen3(hidden: int, mlp: int) -> Shape:
    sizes = Llama(hidden, 28, 16, 8, mlp, 151936, 40960, 1e6, 1e-6, True)
    config = sizes.config(
        151645,
        architectures=["Qwen3ForCausalLM"],
        model_type="qwen3",
        head_dim=128,
        use_sliding_window=False,
        sliding_window=None,
        max_window_layers=28,
    )
    del config["mlp_bias"]  # which Qwen3 has no word for
    thoughts = ("<tool_response>", "</tool_response>", "<think>", "</think>")
    return Shape(config, 151669, numbered((*_QWEN, *thoughts), 151643))


SHAPES: Mapping[str, Shape] = {
    "qwen2.5-coder-0.5b": _qwen(_qwen_sizes(896, 24, 14, 2, 4864)),
    "qwen2.5-coder-1.5b": _qwen(_qwen_sizes(1536, 28, 12, 2, 8960)),
    "qwen2.5-coder-3b": _qwen(_qwen_sizes(2048, 36, 16, 2, 11008)),
    "qwen2.5-coder-7b": _qwen(_qwen_sizes(3584, 28, 28, 4, 18944)),
    "smollm2-135m": _smollm2(Llama(576, 30, 9, 3, 1536, 49152, 8192, 1e5, 1e-5, True)),
    "smollm2-360m": _smollm2(Llama(960, 32, 15, 5, 2560, 49152, 8192, 1e5, 1e-5, True)),
    "smollm2-1.7b": _smollm2(Llama(2048, 24, 32, 32, 8192, 49152, 8192, 1e5, 1e-5, True)),
    "decicoder-1b": _decicoder(),
    "deepseek-coder-1.3b": _deepseek(
        Llama(2048, 24, 16, 16, 5504, 32256, 16384, 100_000.0, 1e-6)
    ),
    "deepseek-coder-6.7b": _deepseek(
        Llama(4096, 32, 32, 32, 11008, 32256, 16384, 100_000.0, 1e-6)
    ),
    "codegen2.5-7b": _codegen25(),
    "granite-code-3b": _granite(
        Llama(2560, 32, 32, 32, 10240, 49152, 2048, tie_word_embeddings=True)
    ),
    "granite-code-8b": _granite(
        Llama(4096, 36, 32, 8, 14336, 49152, 4096, tie_word_embeddings=True)
    ),
    "seed-coder-8b": _seed(),
    "codellama-7b": _codellama(Llama(4096, 32, 32, 32, 11008, 32016, 16384, 1e6)),
    "codellama-13b": _codellama(Llama(5120, 40, 40, 40, 13824, 32016, 16384, 1e6)),
    "codestral-22b": _codestral(),
    "qwen3-0.6b": _qwen3(1024, 3072),
    "qwen3-1.7b": _qwen3(2048, 6144),
}  # fmt: skip
