"""What a model was trained for, as its prompt layouts tell: holes, answers, and in which words.

Dialects list it for their clients, which ask for nothing else then.
"""

from __future__ import annotations

from dataclasses import dataclass

from .prompts import Layouts
from .tokens import Tokens

PREFIX, SUFFIX, FILES = "prefix", "suffix", "files"


@dataclass(frozen=True)
class Abilities:
    """What is asked of a model with sense.

    Args:
        fills: whether it sees what stands behind a cursor; one that does not goes on from the
            prefix.
        chats: whether it answers messages.
        hole: the parts of its default order: slots of the text on both sides, and special tokens as
            they are written.
        ends: tokens that end an answer, as they are written; the first ends it as a rule.

    """

    fills: bool
    chats: bool
    hole: tuple[str, ...]
    ends: tuple[str, ...]

    def token_before(self, slot: str) -> str:
        """Return the special token that stands before a slot of the hole; "" for none."""
        at = self.hole.index(slot) if slot in self.hole else 0
        before = self.hole[at - 1] if at else ""
        return "" if before in (PREFIX, SUFFIX) else before


def abilities_of(layouts: Layouts, tokens: Tokens) -> Abilities:
    """Read them from a model's prompts."""
    order = layouts.fim[layouts.fim_default]
    slots = (part for part in order if part != FILES)
    hole = tuple(part if isinstance(part, str) else tokens.decode([part]) for part in slots)
    return Abilities(
        fills=SUFFIX in order,
        chats=layouts.chat is not None,
        hole=hole,
        ends=tuple(tokens.decode([end]) for end in layouts.end_ids),
    )
