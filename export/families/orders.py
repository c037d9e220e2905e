"""What several families of prompts have in common."""

from __future__ import annotations

from ..prompts import FILES, PREFIX, SUFFIX, Chat, Parts, Token

CAREFUL = {"temperature": 0.2, "top_k": 50, "top_p": 1.0, "max_tokens": 50}
END = "<|endoftext|>"
PLAIN_FILE: Parts = ("#{}\n",)

# The tokens of a hole: before its prefix, its suffix, and what is to be filled in.
STAR = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
BARS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def psm(prefix: str, suffix: str, middle: str, *before: Token | str) -> Parts:
    """Return the order prefix, suffix, middle."""
    return (*before, Token(prefix), PREFIX, Token(suffix), SUFFIX, Token(middle))


def spm(prefix: str, suffix: str, middle: str, *before: Token | str) -> Parts:
    """Return the order suffix, prefix, middle."""
    return (*before, Token(suffix), SUFFIX, Token(prefix), PREFIX, Token(middle))


def starcoder_orders() -> dict[str, Parts]:
    """Return both orders of StarCoder's tokens, with other files before them."""
    return {"psm": psm(*STAR, FILES), "spm": spm(*STAR, FILES)}


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


def question_answer(system: Parts) -> Chat:
    """Return turns that begin with words alone: OctoCoder's, and others' who took them over."""
    return Chat(
        system=system,
        user=("Question: {}\n\n",),
        assistant=("Answer:\n{}\n\n",),
        answer=("Answer:\n",),
        marks=("Question:", "Answer:"),
    )
