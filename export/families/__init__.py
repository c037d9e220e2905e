"""How each known model was trained to be asked: a row a family of prompts.

Sources: the models' own READMEs and reports, and the editors that serve them. The order of a hole's
parts matters: Qwen2.5-Coder 0.5B needs 0.776 bits a byte of a line in its own order, and 0.882 in
Refact's.
"""

from .bigcode import (
    GRANITE_CODE,
    MELLUM,
    OCTOCODER,
    REFACT,
    STABLE_CODE,
    STABLECODE_INSTRUCT,
    STARCHAT,
    STARCODER,
    STARCODER2,
)
from .chatml import CHATML, QWEN3, QWEN_CODER, SMOLLM
from .own_tokens import CODEGEN25, DEEPSEEK_CODER, PLAIN, SEED_CODER
from .sentencepiece import CODEGEMMA, CODELLAMA, CODESTRAL, LLAMA2, OCTOGEEX, REPLIT

__all__ = [
    "CHATML",
    "CODEGEMMA",
    "CODEGEN25",
    "CODELLAMA",
    "CODESTRAL",
    "DEEPSEEK_CODER",
    "GRANITE_CODE",
    "LLAMA2",
    "MELLUM",
    "OCTOCODER",
    "OCTOGEEX",
    "PLAIN",
    "QWEN3",
    "QWEN_CODER",
    "REFACT",
    "REPLIT",
    "SEED_CODER",
    "SMOLLM",
    "STABLECODE_INSTRUCT",
    "STABLE_CODE",
    "STARCHAT",
    "STARCODER",
    "STARCODER2",
]
