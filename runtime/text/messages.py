"""The messages of a conversation, each with a role and a content, checked and cleaned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import OptionError

Message = Mapping[str, str]
ROLES = ("system", "user", "assistant")


def clean_messages(messages: Sequence[Message], *, strip: bool = True) -> list[tuple[str, str]]:
    """Return (role, content) of the messages that say something; `strip` the blanks around them.

    The assistant's last message is one that goes on: it keeps the blanks at its end.

    Raises:
        OptionError: when a role is unknown, or the last message is empty.

    """
    turns: list[tuple[str, str]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content") or ""
        if role not in ROLES:
            raise OptionError(f"message role {role!r}; expected one of: {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise OptionError(f"message content {content!r:.60}; expected text")
        turns.append((role, content))
    if turns and is_answer(turns[-1]) and not turns[-1][1].strip():
        turns.pop()  # it has not begun
    if not turns or not turns[-1][1].strip():
        raise OptionError("the last message is empty; expected a question, or a begun answer")
    *before, (role, content) = turns
    earlier = [(role, text) for role, text in before if text.strip()]
    if strip:
        earlier = [(role, text.strip()) for role, text in earlier]
        content = content.lstrip() if is_answer(turns[-1]) else content.strip()
    return [*earlier, (role, content)]


def goes_on(messages: Sequence[Message]) -> bool:
    """Whether the answer goes on from the last message: it is the assistant's, and has begun."""
    return is_answer(clean_messages(messages)[-1])


def is_answer(turn: tuple[str, str]) -> bool:
    """Whether it is the assistant's."""
    return turn[0] == "assistant"
