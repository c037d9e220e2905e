"""How each known model was trained to be asked: a row a family of prompts.

Sources: the models' own READMEs and reports, and the editors that serve them; for StarCoder's
family Li et al. 2023. The order of a hole's parts matters: Qwen2.5-Coder 0.5B needs 0.776 bits a
byte of a line in its own order, and 0.882 in Refact's.
"""

from __future__ import annotations

from .prompts import (
    FILES,
    LEFT_TO_RIGHT,
    NOTHING,
    PREFIX,
    SUFFIX,
    Chat,
    Parts,
    PromptFamily,
    Token,
    Traits,
)
from .starcoder import SPECIAL_TOKENS as STARCODER_TOKENS

CAREFUL = {"temperature": 0.2, "top_k": 50, "top_p": 1.0, "max_tokens": 50}
END = "<|endoftext|>"
_PLAIN_FILE: Parts = ("#{}\n",)


def _psm(prefix: str, suffix: str, middle: str, *before: Token | str) -> Parts:
    return (*before, Token(prefix), PREFIX, Token(suffix), SUFFIX, Token(middle))


def _spm(prefix: str, suffix: str, middle: str, *before: Token | str) -> Parts:
    return (*before, Token(suffix), SUFFIX, Token(prefix), PREFIX, Token(middle))


def chatml(default_system: str) -> Chat:
    """Return turns between <|im_start|> and <|im_end|>, which no text can spell."""
    start, end = Token("<|im_start|>"), Token("<|im_end|>")
    return Chat(
        system=(start, "system\n{}", end, "\n"),
        user=(start, "user\n{}", end, "\n"),
        assistant=(start, "assistant\n{}", end, "\n"),
        answer=(start, "assistant\n"),
        default_system=default_system,
        strip=False,
    )


_STAR = tuple(f"<fim_{part}>" for part in ("prefix", "suffix", "middle"))
_STAR_ORDERS = {"spm": _spm(*_STAR), "psm": _psm(*_STAR)}
_STAR_FILE: Parts = (Token("<filename>"), "{}\n")

REFACT = PromptFamily(
    "refact",
    ends=(END,),
    fim=_STAR_ORDERS,
    fim_default="spm",
    file=_STAR_FILE,
    chat=Chat(
        system=(Token("<empty_output>"), "SYSTEM {}\n"),
        user=(Token("<empty_output>"), "USER {}\n"),
        assistant=(Token("<empty_output>"), "ASSISTANT {}\n"),
        answer=(Token("<empty_output>"), "ASSISTANT"),
        default_system="You are a programming assistant",
        system_rule="single",
    ),
    sampling=CAREFUL,
    places=STARCODER_TOKENS,
)

STARCODER = PromptFamily(
    "starcoder",
    ends=(END,),
    fim={"psm": _psm(*_STAR, FILES), "spm": _spm(*_STAR, FILES)},
    fim_default="psm",
    file=_STAR_FILE,
    sampling=CAREFUL,
)

GRANITE_CODE = PromptFamily(
    "granite-code",
    ends=(END,),
    fim={"psm": _psm(*_STAR, FILES), "spm": _spm(*_STAR, FILES)},
    fim_default="psm",
    file=_STAR_FILE,
    chat=Chat(
        system=("System:\n{}\n\n",),
        user=("Question:\n{}\n\n",),
        assistant=("Answer:\n{}\n\n",),
        answer=("Answer:\n",),
        marks=("System:", "Question:", "Answer:"),
    ),
    sampling=CAREFUL,
    fits=lambda traits: traits.config.get("mlp_bias") is True,
)


def _is_mellum(traits: Traits) -> bool:
    """Mellum's tokens are StarCoder's, but its tokenizer keeps digits together."""
    return not traits.splits_digits


MELLUM = PromptFamily(
    "mellum",
    ends=(END,),
    fim={"spm": _spm(*_STAR, FILES)},
    fim_default="spm",
    file=_STAR_FILE,
    sampling=CAREFUL,
    fits=_is_mellum,
)

_QWEN = tuple(f"<|fim_{part}|>" for part in ("prefix", "suffix", "middle"))

QWEN_CODER = PromptFamily(
    "qwen2.5-coder",
    ends=(
        END, "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|fim_prefix|>",
        "<|fim_suffix|>",
    ),
    fim={"psm": _psm(*_QWEN, FILES)},
    fim_default="psm",
    file=(Token("<|file_sep|>"), "{}\n"),
    repository=(Token("<|repo_name|>"), "project\n"),
    chat=chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    sampling=CAREFUL,
)  # fmt: skip

SMOLLM = PromptFamily(
    "smollm2",
    ends=(END, "<|im_end|>"),
    fim=LEFT_TO_RIGHT,
    fim_default="prefix",
    file=(Token("<file_sep>"), "{}\n"),
    chat=chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    sampling=CAREFUL,
)

CHATML = PromptFamily(
    "chatml",
    ends=("<|im_end|>",),
    fim=LEFT_TO_RIGHT,
    fim_default="prefix",
    file=_PLAIN_FILE,
    chat=chatml("You are a helpful assistant."),
    sampling=CAREFUL,
)

DEEPSEEK_CODER = PromptFamily(
    "deepseek-coder",
    # The published README names these three; which id is which is read from the tokenizer.
    ends=("<｜end▁of▁sentence｜>", "<|EOT|>"),
    fim={"psm": _psm("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", FILES)},
    fim_default="psm",
    file=_PLAIN_FILE,
    start=("<｜begin▁of▁sentence｜>",),
    chat=Chat(
        system=("{}\n",),
        user=("### Instruction:\n{}\n",),
        assistant=("### Response:\n{}\n", Token("<|EOT|>"), "\n"),
        answer=("### Response:\n",),
        default_system=(
            "You are an AI programming assistant, utilizing the DeepSeek Coder model, developed by "
            "DeepSeek Company, and you only answer questions related to computer science. For "
            "politically sensitive questions, security and privacy issues, and other non-computer "
            "science questions, you will refuse to answer."
        ),
        marks=("### Instruction:", "### Response:"),
    ),
    sampling=CAREFUL,
)

_SEED = tuple(f"<[fim-{part}]>" for part in ("prefix", "suffix", "middle"))

SEED_CODER = PromptFamily(
    "seed-coder",
    ends=("<[end▁of▁sentence]>",),
    fim={"spm": _spm(*_SEED, FILES)},
    fim_default="spm",
    file=_PLAIN_FILE,
    start=("<[begin▁of▁sentence]>",),
    sampling=CAREFUL,
)

_MASK = Token("<mask_1>")

CODEGEN25 = PromptFamily(
    "codegen2.5",
    ends=(END, "<eom>"),
    fim={"psm": (FILES, PREFIX, _MASK, SUFFIX, Token(END), Token("<sep>"), _MASK)},
    fim_default="psm",
    file=_PLAIN_FILE,
    sampling=CAREFUL,
)

PLAIN = PromptFamily(
    "plain",
    ends=(END,),
    fim=LEFT_TO_RIGHT,
    fim_default="prefix",
    file=NOTHING,
    sampling=CAREFUL,
)
