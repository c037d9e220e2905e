"""Prompt layouts: which ids stand where around the user's text.

The layouts are data in the bundle's manifest. An int in a layout is a special token's id, a
string is text with a slot; text is encoded without special tokens, so it can never become one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BundleError, OptionError, one_line

Encode = Callable[[str], list[int]]
Message = Mapping[str, str]
Layout = tuple[int | str, ...]

_MOST_PARTS, _MOST_CHARACTERS = 64, 4096  # of a layout, which is a handful of tokens and words
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Layouts:
    """The layouts of one model."""

    fim_default: str
    fim: dict[str, Layout]
    file: Layout
    chat: dict[str, Layout]
    default_system: str
    end_id: int
    special_ids: frozenset[int]

    @classmethod
    def from_manifest(cls, prompts: Mapping[str, Any]) -> Layouts:
        """Read the `prompts` entry of a manifest.

        Raises:
            BundleError: when a field is missing or of another type.

        """
        try:
            special = frozenset(map(_id, prompts["special_ids"]))
            layouts = cls(
                fim_default=_text(prompts["fim"]["default"]),
                fim={name: tuple(parts) for name, parts in prompts["fim"]["orders"].items()},
                file=_layout(prompts["file"], special),
                chat={
                    name: _layout(parts, special)
                    for name, parts in prompts["chat"]["layouts"].items()
                },
                default_system=_text(prompts["chat"]["default_system"]),
                end_id=_id(prompts["end_id"]),
                special_ids=special,
            )
            parts = [part for order in layouts.fim.values() for part in _layout(order, special)]
            slots = {part for part in parts if not isinstance(part, int)}
            if slots != {"prefix", "suffix"} or layouts.fim_default not in layouts.fim:
                raise ValueError(f"orders with {sorted(map(str, slots))}")
            if missing := {*ROLES, "answer"} - layouts.chat.keys():
                raise ValueError(f"no layout for {', '.join(sorted(missing))}")
            if layouts.end_id not in special:
                raise ValueError(f"end_id {layouts.end_id} is not among the special ids")
            return layouts
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"the manifest's prompt layouts are unusable ({one_line(error)}); "
                "export the model again"
            ) from error

    def fim_ids(self, order: str, prefix: Sequence[int], suffix: Sequence[int]) -> list[int]:
        """Return the prompt for a hole between `prefix` and `suffix`.

        Raises:
            OptionError: when the model has no such order.

        """
        slots = {"prefix": prefix, "suffix": suffix}
        ids: list[int] = []
        for part in self._fim(order):
            ids.extend([part] if isinstance(part, int) else slots[part])
        return ids

    def fim_overhead(self, order: str) -> int:
        """Return the number of special tokens in that order."""
        return sum(isinstance(part, int) for part in self._fim(order))

    def _fim(self, order: str) -> Layout:
        if order not in self.fim:
            raise OptionError(f"order {order!r}; expected one of: {', '.join(self.fim)}")
        return self.fim[order]

    def file_ids(self, name: str, encode: Encode) -> list[int]:
        """Return the line that introduces a file by its name."""
        return fill(self.file, name, encode)

    def chat_ids(self, messages: Sequence[Message], encode: Encode) -> list[int]:
        """Return the prompt for the answer to `messages`, or for the rest of one that has begun.

        Contents are stripped and empty messages skipped. Without a system message the default
        one stands first in a single exchange; in longer ones the model never saw one.

        Raises:
            OptionError: when a role is unknown or the last message is empty.

        """
        turns = clean_messages(messages)
        begun = turns.pop()[1] if is_answer(turns[-1]) else None
        if len(turns) < 2 and all(role == "user" for role, _ in turns):
            turns = [("system", self.default_system), *turns]
        ids: list[int] = []
        for role, content in turns:
            ids.extend(fill(self.chat[role], content, encode))
        if begun is None:
            return [*ids, *fill(self.chat["answer"], "", encode)]
        return [*ids, *fill(_to_slot(self.chat["assistant"]), begun, encode)]


def _layout(parts: Any, special: frozenset[int]) -> Layout:
    """Return the parts of a layout, each a special token's id or a text."""
    if len(parts) > _MOST_PARTS or sum(len(str(part)) for part in parts) > _MOST_CHARACTERS:
        raise ValueError(f"a layout of {len(parts)} parts, or too long a text")
    for part in parts:
        if not isinstance(part, str) and _id(part) not in special:
            raise ValueError(f"part {part} is not among the special ids")
    return tuple(parts)


def _id(value: Any) -> int:
    if type(value) is not int or value < 0:  # bool is a kind of int
        raise ValueError(f"{value!r:.60} is no id")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        raise TypeError(f"{value!r:.60} is no text, or too long a one")
    return value


def clean_messages(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return (role, content) of the messages that say something.

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
    earlier = [(role, content.strip()) for role, content in before if content.strip()]
    return [*earlier, (role, content.lstrip() if is_answer(turns[-1]) else content.strip())]


def goes_on(messages: Sequence[Message]) -> bool:
    """Whether the answer goes on from the last message: it is the assistant's, and has begun."""
    return is_answer(clean_messages(messages)[-1])


def is_answer(turn: tuple[str, str]) -> bool:
    """Whether it is the assistant's."""
    return turn[0] == "assistant"


def _to_slot(layout: Layout) -> Layout:
    """Return a layout up to the end of its text."""
    at = next((i for i, part in enumerate(layout) if "{}" in str(part)), len(layout))
    return (*layout[:at], *(str(part).partition("{}")[0] + "{}" for part in layout[at : at + 1]))


def fill(layout: Layout, text: str, encode: Encode) -> list[int]:
    """Return the ids of a layout whose strings carry `text` in place of {}."""
    ids: list[int] = []
    for part in layout:
        ids.extend([part] if isinstance(part, int) else encode(part.replace("{}", text)))
    return ids
