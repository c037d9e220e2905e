"""Fitting a conversation into the context: the oldest exchanges are dropped first."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import OptionError
from .layout import Encode
from .messages import Message, clean_messages
from .prompts import Layouts

Turn = dict[str, str]  # a role and a content


def conversation_ids(
    messages: Sequence[Message], layouts: Layouts, encode: Encode, limit_tokens: int
) -> list[int]:
    """Return the prompt for the answer to the last message, of `limit_tokens` where that can be.

    It has more where the system message and the last question alone do.

    Raises:
        OptionError: when `messages` is a string, a role is unknown, or the last message is empty.

    """
    if isinstance(messages, str):  # type: ignore[unreachable] # an easy mistake
        raise OptionError("messages is a string; expected a list with a role and content each")
    strip = layouts.chat is None or layouts.chat.strip
    cleaned = clean_messages(messages, strip=strip)
    turns = [{"role": role, "content": content} for role, content in cleaned]
    ids = layouts.chat_ids(turns, encode)
    while len(ids) > limit_tokens and (shorter := _drop_oldest(turns)):
        turns = shorter
        ids = layouts.chat_ids(turns, encode)
    return ids


def _drop_oldest(turns: list[Turn]) -> list[Turn]:
    """Return the turns without the oldest exchange; empty when only the question is left."""
    system = [turn for turn in turns if turn["role"] == "system"]
    rest = [turn for turn in turns if turn["role"] != "system"]
    later = next((i for i, turn in enumerate(rest) if i > 0 and turn["role"] == "user"), None)
    return [] if later is None else [*system, *rest[later:]]
