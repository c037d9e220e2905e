"""How a conversation becomes a prompt: its turns, the system message, what the answer follows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .layout import MOST_PARTS, Encode, Layout, fill, read_layout, read_text, to_slot
from .messages import ROLES, Message, clean_messages, is_answer

_ANSWER = "answer"
_RULES = ("always", "single", "even empty")  # when a system message stands before a conversation


@dataclass(frozen=True)
class ChatLayouts:
    """What a conversation looks like.

    Args:
        layouts: of a message, by its role, and of what stands before the answer.
        default_system: the system message where none is given.
        always: whether that stands before every conversation, or before a single question alone.
        strip: whether contents lose the blanks around them.
        marks: starts of lines that begin a turn, in templates without special tokens for that.
        tags: texts that mean something to the model wherever they stand in a content.
        in_question: how a system message stands before the question that follows it, of models that
            have no turn for it; else "".
        even_empty: whether an empty system message stands there where none is given.

    """

    layouts: dict[str, Layout]
    default_system: str
    always: bool = False
    strip: bool = True
    marks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    in_question: str = ""
    even_empty: bool = False

    def ids(self, messages: Sequence[Message], encode: Encode, before: str = "") -> list[int]:
        """Return the prompt for the answer to `messages`, or for the rest of one that has begun.

        `before` is the blank that stands before the conversation's first text, if any does.

        Empty messages are skipped. A line of theirs that looks like the start of a turn gets a
        blank before it, and a tag of the model's one in it.

        Raises:
            OptionError: when a role is unknown, or the last message is empty.

        """
        turns = clean_messages(messages, strip=self.strip)
        begun = turns.pop()[1] if is_answer(turns[-1]) else None
        begun = begun and _untagged(begun, self)
        wants = bool(self.default_system) or self.even_empty
        if wants and _lacks_system(turns, always=self.always):
            turns = [("system", self.default_system), *turns]
        turns = [(role, _unmarked(content, self)) for role, content in turns]
        if self.in_question:
            turns = _in_questions(turns, self.in_question)
        ids: list[int] = []
        for role, content in turns:
            layout = self.layouts[role]
            if not ids and isinstance(layout[0], str):
                layout = (before + layout[0].removeprefix(before), *layout[1:])
            ids.extend(fill(layout, content, encode))
        if begun is None:
            return [*ids, *fill(self.layouts[_ANSWER], "", encode)]
        return [*ids, *fill(to_slot(self.layouts["assistant"]), begun, encode)]

    def answered(self, text: str, encode: Encode, end_id: int) -> list[int]:
        """Return an answer as it follows the prompt of `ids`, with what ends it."""
        before, whole = self.layouts[_ANSWER], self.layouts["assistant"]
        at = next(i for i, part in enumerate(whole) if "{}" in str(part))
        same = len(before) == at + 1  # the prompt ends where the text begins, or in other words
        lead = str(before[at]) if same else str(whole[at]).partition("{}")[0]
        rest = (str(whole[at]).removeprefix(lead), *whole[at + 1 :])
        end = next((i for i, part in enumerate(rest) if isinstance(part, int)), len(rest))
        return [*fill(rest[: end + 1], text, encode), *([end_id] if end == len(rest) else [])]

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that an answer ends before: the next turn, where no special token begins it."""
        return tuple(f"\n{mark}" for mark in self.marks)


def read_chat(value: Mapping[str, Any], special: frozenset[int]) -> ChatLayouts:
    """Return the `chat` entry of a manifest's prompts, or raise an error of what it is not."""
    layouts = {name: read_layout(parts, special) for name, parts in value["layouts"].items()}
    if missing := {*ROLES, _ANSWER} - layouts.keys():
        raise ValueError(f"no layout for {', '.join(sorted(missing))}")
    rule, strip, marks = value["system_rule"], value["strip"], value["marks"]
    tags = value.get("tags", [])  # which bundles of before do not have
    if rule not in _RULES or type(strip) is not bool or len(marks) + len(tags) > MOST_PARTS:
        counts = f"{len(marks)} marks, {len(tags)} tags"
        raise ValueError(f"system_rule {rule!r:.40}, strip {strip!r:.40}, {counts}")
    if any(len(tag) < 2 for tag in tags):
        raise ValueError("a tag that no blank would break")
    return ChatLayouts(
        layouts,
        read_text(value["default_system"]),
        rule != "single",
        strip,
        tuple(map(read_text, marks)),
        tuple(map(read_text, tags)),
        read_text(value.get("in_question", "")),
        rule == "even empty",
    )


def _lacks_system(turns: Sequence[tuple[str, str]], *, always: bool) -> bool:
    if always:
        return all(role != "system" for role, _ in turns)
    return len(turns) < 2 and all(role == "user" for role, _ in turns)


def _unmarked(content: str, chat: ChatLayouts) -> str:
    """Return a content in which no line begins with a mark, and that has no tag."""
    for mark in chat.marks:
        content = re.sub(rf"(?:^|(?<=\r))(?={re.escape(mark)})", " ", content, flags=re.M)
    return _untagged(content, chat)


def _untagged(content: str, chat: ChatLayouts) -> str:
    for tag in chat.tags:
        content = content.replace(tag, f"{tag[0]} {tag[1:]}")
    return content


def _in_questions(turns: Sequence[tuple[str, str]], template: str) -> list[tuple[str, str]]:
    """Put system messages before the questions that follow them, or else into the last one."""
    merged: list[tuple[str, str]] = []
    system = ""
    for role, content in turns:
        if role == "system":
            system += template.replace("{}", content)
        elif role == "user":
            merged.append((role, system + content))
            system = ""
        else:
            merged.append((role, content))
    last = next((i for i in reversed(range(len(merged))) if merged[i][0] == "user"), None)
    if system and last is not None:
        merged[last] = ("user", system + merged[last][1])
    elif system:  # nothing else was asked
        merged.append(("user", "\n".join(text for role, text in turns if role == "system")))
    return merged
