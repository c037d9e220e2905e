"""Families that talk in ChatML: Qwen's, and those that took its turns over."""

from __future__ import annotations

from dataclasses import replace

from ..prompts import FILES, LEFT_TO_RIGHT, PREFIX, PromptFamily, Token
from .orders import BARS, CAREFUL, END, PLAIN_FILE, chatml, psm

QWEN_CODER = PromptFamily(
    "qwen2.5-coder",
    ends=(
        END, "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|fim_prefix|>",
        "<|fim_suffix|>",
    ),
    fim={"psm": psm(*BARS, FILES)},
    fim_default="psm",
    file=(Token("<|file_sep|>"), "{}\n"),
    repository=(Token("<|repo_name|>"), "project\n"),
    chat=chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    sampling=CAREFUL,
)  # fmt: skip

# A thought that is empty: the model answers at once.
_NO_THOUGHT = (Token("<think>"), "\n\n", Token("</think>"), "\n\n")

QWEN3 = PromptFamily(
    "qwen3",
    ends=(END, "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
    # It has the tokens of holes; that it was trained with them is said of Qwen3-Coder alone.
    fim={"prefix": (PREFIX,), "psm": psm(*BARS, FILES)},
    fim_default="prefix",
    file=(Token("<|file_sep|>"), "{}\n"),
    repository=(Token("<|repo_name|>"), "project\n"),
    chat=replace(chatml(""), answer=(*chatml("").answer, *_NO_THOUGHT)),
    sampling=CAREFUL,
)

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
    file=PLAIN_FILE,
    chat=chatml("You are a helpful assistant."),
    sampling=CAREFUL,
)
