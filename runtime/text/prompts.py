"""Prompt layouts: which ids stand where around the user's text.

The layouts are data in the bundle's manifest. An int in a layout is a special token's id, a
string is text with a slot; text is encoded without special tokens, so it can never become one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BundleError, OptionError, one_line
from .messages import ROLES, Message, clean_messages, is_answer

Encode = Callable[[str], list[int]]
Layout = tuple[int | str, ...]

_MOST_PARTS, _MOST_CHARACTERS = 64, 4096  # of a layout, which is a handful of tokens and words


SLOTS = frozenset({"prefix", "suffix", "files"})
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


@dataclass(frozen=True)
class Layouts:
    """The layouts of one model.

    Args:
        fim_default: the order of a hole's parts that serves it best.
        fim: layouts of a hole by their order, of those that the model was trained with; one without
            a suffix goes on from the prefix alone.
        file: the line that introduces a file.
        repository: what stands once before other files.
        chat: None where the model was not trained on conversations.
        start_ids: what every prompt begins with.
        end_ids: what ends a text; the first is that of code.
        special_ids: tokens that text must not spell, and that end a text when generated.
        before_prefix: a blank where the model saw one before each text, as SentencePiece puts it.

    """

    fim_default: str
    fim: dict[str, Layout]
    file: Layout
    repository: Layout
    chat: ChatLayouts | None
    start_ids: tuple[int, ...]
    end_ids: tuple[int, ...]
    special_ids: frozenset[int]
    before_prefix: str = ""

    @classmethod
    def from_manifest(cls, prompts: Mapping[str, Any]) -> Layouts:
        """Read the `prompts` entry of a manifest.

        Raises:
            BundleError: when a field is missing or of another type.

        """
        try:
            return _read(prompts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"the manifest's prompt layouts are unusable ({one_line(error)}); "
                "export the model again"
            ) from error

    @property
    def end_id(self) -> int:
        """What ends code."""
        return self.end_ids[0]

    @property
    def hole_orders(self) -> tuple[str, ...]:
        """The orders that show what is behind the cursor; none where the model cannot see that."""
        return tuple(order for order, parts in self.fim.items() if "suffix" in parts)

    def fim_ids(
        self,
        order: str,
        prefix: Sequence[int],
        suffix: Sequence[int],
        files: Sequence[int] = (),
    ) -> list[int]:
        """Return the prompt for a hole between `prefix` and `suffix`.

        Other files stand where the layout has a slot for them, or else before the prefix.

        Raises:
            OptionError: when the model has no such order.

        """
        layout = self._fim(order)
        if "files" not in layout:
            prefix, files = [*files, *prefix], ()
        slots = {"prefix": prefix, "suffix": suffix, "files": files}
        ids = list(self.start_ids)
        for part in layout:
            ids.extend([part] if isinstance(part, int) else slots[part])
        return ids

    def text_ids(self, text: str, encode: Encode) -> list[int]:
        """Return the prompt of a text alone, with what every prompt begins with before it.

        A text that spells that itself, where `encode` reads special tokens, has it once.
        """
        ids, start = encode(text), list(self.start_ids)
        if self.before_prefix and ids and ids[0] not in self.special_ids:
            ids = encode(self.before_prefix + text)
        return [*start, *ids] if ids and ids[: len(start)] != start else ids

    def fim_overhead(self, order: str) -> int:
        """Return the number of special tokens in that order."""
        return len(self.start_ids) + sum(isinstance(part, int) for part in self._fim(order))

    def _fim(self, order: str) -> Layout:
        if order not in self.fim:
            raise OptionError(f"order {order!r}; expected one of: {', '.join(self.fim)}")
        return self.fim[order]

    def file_ids(self, name: str, encode: Encode) -> list[int]:
        """Return the line that introduces a file by its name."""
        return fill(self.file, name, encode)

    def repository_ids(self, encode: Encode) -> list[int]:
        """Return what stands once before other files."""
        return fill(self.repository, "", encode)

    def chat_ids(self, messages: Sequence[Message], encode: Encode) -> list[int]:
        """Return the prompt for the answer to `messages`, or for the rest of one that has begun.

        Empty messages are skipped. A line of theirs that looks like the start of a turn gets a
        blank before it, and a tag of the model's one in it.

        Raises:
            OptionError: when a role is unknown, the last message is empty, or the model was not
                trained on conversations.

        """
        chat = self._chat
        turns = clean_messages(messages, strip=chat.strip)
        begun = turns.pop()[1] if is_answer(turns[-1]) else None
        wants = bool(chat.default_system) or chat.even_empty
        if wants and _lacks_system(turns, always=chat.always):
            turns = [("system", chat.default_system), *turns]
        turns = [(role, _unmarked(content, chat)) for role, content in turns]
        if chat.in_question:
            turns = _in_questions(turns, chat.in_question)
        ids = list(self.start_ids)
        for role, content in turns:
            ids.extend(fill(chat.layouts[role], content, encode))
        if begun is None:
            return [*ids, *fill(chat.layouts[_ANSWER], "", encode)]
        return [*ids, *fill(_to_slot(chat.layouts["assistant"]), begun, encode)]

    def answered(self, text: str, encode: Encode) -> list[int]:
        """Return an answer as it follows the prompt of `chat_ids`, with what ends it.

        Raises:
            OptionError: when the model was not trained on conversations.

        """
        chat = self._chat
        before, whole = chat.layouts[_ANSWER], chat.layouts["assistant"]
        at = next(i for i, part in enumerate(whole) if "{}" in str(part))
        same = len(before) == at + 1  # the prompt ends where the text begins, or in other words
        lead = str(before[at]) if same else str(whole[at]).partition("{}")[0]
        rest = (str(whole[at]).removeprefix(lead), *whole[at + 1 :])
        end = next((i for i, part in enumerate(rest) if isinstance(part, int)), len(rest))
        return [*fill(rest[: end + 1], text, encode), *([self.end_id] if end == len(rest) else [])]

    @property
    def chat_stops(self) -> tuple[str, ...]:
        """Texts that an answer ends before: the next turn, where no special token begins it."""
        return tuple(f"\n{mark}" for mark in self.chat.marks) if self.chat else ()

    @property
    def _chat(self) -> ChatLayouts:
        if self.chat is None:
            raise OptionError(
                "this model was not trained on conversations; ask for a completion instead"
            )
        return self.chat


def _lacks_system(turns: Sequence[tuple[str, str]], *, always: bool) -> bool:
    if always:
        return all(role != "system" for role, _ in turns)
    return len(turns) < 2 and all(role == "user" for role, _ in turns)


def _unmarked(content: str, chat: ChatLayouts) -> str:
    """Return a content in which no line begins with a mark, and that has no tag."""
    for mark in chat.marks:
        content = re.sub(rf"(?:^|(?<=\r))(?={re.escape(mark)})", " ", content, flags=re.M)
    for tag in chat.tags:
        content = content.replace(tag, f"{tag[0]} {tag[1:]}")
    return content


def _in_questions(turns: Sequence[tuple[str, str]], template: str) -> list[tuple[str, str]]:
    """Put system messages before the questions that follow them."""
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
    return merged


def _read(prompts: Mapping[str, Any]) -> Layouts:
    special = frozenset(map(_id, prompts["special_ids"]))
    ends = tuple(map(_id, prompts["end_ids"]))
    layouts = Layouts(
        fim_default=_text(prompts["fim"]["default"]),
        fim={
            _text(name): _layout(parts, special) for name, parts in prompts["fim"]["orders"].items()
        },
        file=_layout(prompts["file"], special),
        repository=_layout(prompts["repository"], special),
        chat=None if prompts["chat"] is None else _chat(prompts["chat"], special),
        start_ids=_specials("start_ids", prompts["start_ids"], special),
        end_ids=_specials("end_ids", ends, special),
        special_ids=special,
        before_prefix=_text(prompts["fim"].get("before_prefix", "")),
    )
    for order, parts in layouts.fim.items():
        slots = [part for part in parts if not isinstance(part, int)]
        if "prefix" not in slots or len(slots) != len(set(slots)) or not set(slots) <= SLOTS:
            raise ValueError(f"order {order} with {sorted(map(str, slots))}")
    if layouts.fim_default not in layouts.fim:
        raise ValueError(f"no order {layouts.fim_default}")
    if not ends:
        raise ValueError("no end_ids")
    return layouts


def _chat(value: Mapping[str, Any], special: frozenset[int]) -> ChatLayouts:
    layouts = {name: _layout(parts, special) for name, parts in value["layouts"].items()}
    if missing := {*ROLES, _ANSWER} - layouts.keys():
        raise ValueError(f"no layout for {', '.join(sorted(missing))}")
    rule, strip, marks = value["system_rule"], value["strip"], value["marks"]
    tags = value.get("tags", [])  # which bundles of before do not have
    if rule not in _RULES or type(strip) is not bool or len(marks) + len(tags) > _MOST_PARTS:
        counts = f"{len(marks)} marks, {len(tags)} tags"
        raise ValueError(f"system_rule {rule!r:.40}, strip {strip!r:.40}, {counts}")
    if "" in tags:
        raise ValueError("an empty tag")
    return ChatLayouts(
        layouts,
        _text(value["default_system"]),
        rule != "single",
        strip,
        tuple(map(_text, marks)),
        tuple(map(_text, tags)),
        _text(value.get("in_question", "")),
        rule == "even empty",
    )


def _specials(name: str, ids: Sequence[Any], special: frozenset[int]) -> tuple[int, ...]:
    if len(ids) > _MOST_PARTS:
        raise ValueError(f"{len(ids)} {name}")
    if strange := [one for one in map(_id, ids) if one not in special]:
        raise ValueError(f"{name}: {strange[0]} is not among the special ids")
    return tuple(ids)


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
