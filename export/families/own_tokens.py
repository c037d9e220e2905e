"""Families with tokens of their own, or none, and byte-level vocabularies."""

from __future__ import annotations

from ..prompts import FILES, LEFT_TO_RIGHT, NOTHING, PREFIX, SUFFIX, Chat, PromptFamily, Token
from .orders import CAREFUL, END, PLAIN_FILE, psm, spm

DEEPSEEK_CODER = PromptFamily(
    "deepseek-coder",
    # The published README names these three; which id is which is read from the tokenizer.
    ends=("<｜end▁of▁sentence｜>", "<|EOT|>"),
    fim={"psm": psm("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", FILES)},
    fim_default="psm",
    file=PLAIN_FILE,
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

SEED = tuple(f"<[fim-{part}]>" for part in ("prefix", "suffix", "middle"))

SEED_CODER = PromptFamily(
    "seed-coder",
    ends=("<[end▁of▁sentence]>",),
    fim={"spm": spm(*SEED, FILES)},
    fim_default="spm",
    file=PLAIN_FILE,
    start=("<[begin▁of▁sentence]>",),
    sampling=CAREFUL,
)

_MASK = Token("<mask_1>")

CODEGEN25 = PromptFamily(
    "codegen2.5",
    ends=(END, "<eom>"),
    fim={"psm": (FILES, PREFIX, _MASK, SUFFIX, Token(END), Token("<sep>"), _MASK)},
    fim_default="psm",
    file=PLAIN_FILE,
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
