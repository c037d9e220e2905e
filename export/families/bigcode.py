"""Families whose holes have StarCoder's tokens (Li et al. 2023)."""

from __future__ import annotations

from ..prompts import FILES, Chat, Parts, PromptFamily, Token, Traits
from ..starcoder import SPECIAL_TOKENS as STARCODER_TOKENS
from .orders import (
    CAREFUL,
    END,
    PLAIN_FILE,
    STAR,
    psm,
    question_answer,
    spm,
    starcoder_orders,
)

STAR_FILE: Parts = (Token("<filename>"), "{}\n")

REFACT = PromptFamily(
    "refact",
    ends=(END,),
    fim={"spm": spm(*STAR), "psm": psm(*STAR)},
    fim_default="spm",
    file=STAR_FILE,
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
    fim=starcoder_orders(),
    fim_default="psm",
    file=STAR_FILE,
    sampling=CAREFUL,
)

_END_OF_TURN = Token("<|end|>")

STARCHAT = PromptFamily(
    "starchat",
    ends=(END, "<|end|>"),
    fim=starcoder_orders(),
    fim_default="psm",
    file=STAR_FILE,
    # The answer's line end belongs to the prompt, as in the evaluation that is published.
    chat=Chat(
        system=(Token("<|system|>"), "\n{}", _END_OF_TURN, "\n"),
        user=(Token("<|user|>"), "\n{}", _END_OF_TURN, "\n"),
        assistant=(Token("<|assistant|>"), "\n{}", _END_OF_TURN, "\n"),
        answer=(Token("<|assistant|>"), "\n"),
        system_rule="even empty",
    ),
    sampling={"temperature": 0.2, "top_k": 50, "top_p": 0.95, "max_tokens": 256},
)

OCTOCODER = PromptFamily(
    "octocoder",
    ends=(END,),
    fim=starcoder_orders(),
    fim_default="psm",
    file=STAR_FILE,
    chat=question_answer(("{}\n\n",)),
    sampling=CAREFUL,
    fits=lambda traits: "octocoder" in traits.name,  # StarCoder's tokens are the same
)

STABLECODE_INSTRUCT = PromptFamily(
    "stablecode-instruct",
    ends=(END,),
    fim=starcoder_orders(),
    fim_default="psm",
    file=STAR_FILE,
    chat=Chat(
        system=("{}\n",),
        user=("###Instruction\n{}\n",),
        assistant=("###Response\n{}\n", Token(END)),
        answer=("###Response\n",),
        marks=("###Instruction", "###Response"),
    ),
    sampling=CAREFUL,
    fits=lambda traits: "instruct" in traits.name,  # the completion model's tokens are the same
)

GRANITE_CODE = PromptFamily(
    "granite-code",
    ends=(END,),
    fim=starcoder_orders(),
    fim_default="psm",
    file=STAR_FILE,
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
    fim={"spm": spm(*STAR, FILES)},
    fim_default="spm",
    file=STAR_FILE,
    sampling=CAREFUL,
    fits=_is_mellum,
)

STARCODER2 = PromptFamily(
    "starcoder2",
    ends=(END, "<file_sep>"),
    fim={"psm": psm(*STAR, FILES)},
    fim_default="psm",
    file=(Token("<file_sep>"), "{}\n"),
    repository=(Token("<repo_name>"), "project"),
    sampling=CAREFUL,
)

STABLE_CODE = PromptFamily(
    "stable-code",
    ends=(END,),
    fim={"psm": psm(*STAR, FILES)},
    fim_default="psm",
    file=PLAIN_FILE,
    sampling=CAREFUL,
)
