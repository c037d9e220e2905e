"""How much of the text after the cursor a prompt has in which it stands behind the prefix.

There each key that is typed has the suffix evaluated again, as the prefix before it is another one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from .prompts import Layout
from .trim import CHARACTERS_A_TOKEN

# TODO-FIGURES
SUFFIX_TOKENS = 256


def is_behind(layout: Layout) -> bool:
    """Return whether the suffix stands behind the prefix."""
    return layout.index("suffix") > layout.index("prefix")


def near(suffix: str, encode: Callable[[str], list[int]], limit_tokens: int) -> str:
    """Return the first lines of `suffix`, of at most so many tokens; of a longer line its start.

    A start of a line may still have more tokens than that.
    """
    start = suffix[: limit_tokens * CHARACTERS_A_TOKEN]
    if len(start) == len(suffix) and len(encode(start)) <= limit_tokens:
        return suffix
    lines = [line + "\n" for line in start.split("\n")[:-1]]
    sizes = accumulate(len(encode(line)) for line in lines)
    count = sum(size <= limit_tokens for size in sizes)
    return "".join(lines[:count]) if "".join(lines[:count]).strip() else start
