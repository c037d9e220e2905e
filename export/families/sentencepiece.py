"""Families whose vocabularies are SentencePiece's."""

from __future__ import annotations

from ..prompts import FILES, LEFT_TO_RIGHT, NOTHING, PREFIX, SUFFIX, Chat, PromptFamily, Token
from .orders import BARS, CAREFUL, END, PLAIN_FILE, psm, question_answer

_BLANK = " "  # which SentencePiece puts before a text, and the model was trained with
_BEGIN, _FINISH = "<s>", "</s>"

_INFILL = ("▁<PRE>", "▁<SUF>", "▁<MID>")

CODELLAMA = PromptFamily(
    "codellama",
    ends=("▁<EOT>", _FINISH),
    fim={
        "psm": psm(*_INFILL),
        "spm": (Token("▁<PRE>"), Token("▁<SUF>"), SUFFIX, Token("▁<MID>"), PREFIX),
    },
    fim_default="psm",
    file=PLAIN_FILE,
    start=(_BEGIN,),
    chat=Chat(
        system=("{}",),  # it stands in the question
        user=(f"{_BLANK}[INST] {{}} [/INST]",),
        assistant=(" {} ", Token(_FINISH), Token(_BEGIN)),
        answer=("",),
        tags=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
        in_question="<<SYS>>\n{}\n<</SYS>>\n\n",
    ),
    sampling=CAREFUL,
)

CODESTRAL = PromptFamily(
    "codestral",
    ends=(_FINISH,),
    fim={"spm": (Token("[SUFFIX]"), SUFFIX, Token("[PREFIX]"), FILES, PREFIX)},  # and no middle
    fim_default="spm",
    file=("+++++ {}\n",),
    start=(_BEGIN,),
    chat=Chat(
        system=("{}",),  # it stands in the question
        user=(Token("[INST]"), f"{_BLANK}{{}}", Token("[/INST]")),
        assistant=(f"{_BLANK}{{}}", Token(_FINISH)),
        answer=("",),
        in_question="{}\n\n",
    ),
    sampling=CAREFUL,
)

LLAMA2 = PromptFamily(
    "llama-2",
    ends=(_FINISH,),
    fim=LEFT_TO_RIGHT,
    fim_default="prefix",
    file=PLAIN_FILE,
    start=(_BEGIN,),
    sampling=CAREFUL,
)

CODEGEMMA = PromptFamily(
    "codegemma",
    ends=("<|file_separator|>", "<eos>", *BARS),
    fim={"psm": psm(*BARS, FILES)},
    fim_default="psm",
    file=PLAIN_FILE,
    start=("<bos>",),
    chat=Chat(
        system=("{}",),  # it stands in the question
        user=(Token("<start_of_turn>"), "user\n{}", Token("<end_of_turn>"), "\n"),
        assistant=(Token("<start_of_turn>"), "model\n{}", Token("<end_of_turn>"), "\n"),
        answer=(Token("<start_of_turn>"), "model\n"),
        in_question="{}\n\n",
    ),
    sampling=CAREFUL,
)

OCTOGEEX = PromptFamily(
    "octogeex",
    ends=(_FINISH,),
    fim=LEFT_TO_RIGHT,
    fim_default="prefix",
    file=PLAIN_FILE,
    start=("[gMASK]", "sop"),
    chat=question_answer(("{}\n\n",)),
    sampling=CAREFUL,
)

REPLIT = PromptFamily(
    "replit-code",
    ends=(END,),
    fim=LEFT_TO_RIGHT,
    fim_default="prefix",
    file=NOTHING,
    sampling={"temperature": 0.2, "top_k": 4, "top_p": 0.95, "max_tokens": 100},
)
