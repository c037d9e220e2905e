"""Prompt layouts: which ids stand where around the user's text.

The layouts are data in the bundle's manifest. An int in a layout is a special token's id, a
string is text with a slot; text is encoded without special tokens, so it can never become one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BundleError, OptionError, one_line
from .chat import ChatLayouts, read_chat
from .layout import MOST_PARTS, Encode, Layout, fill, read_id, read_layout, read_text
from .messages import Message

SLOTS = frozenset({"prefix", "suffix", "files"})
WITHOUT_HOLES = (
    "this model goes on from the text before the cursor, and does not see what is behind: it was "
    "not trained on holes"
)


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

    def shows_suffix(self, order: str | None = None) -> bool:
        """Whether the model sees what is behind the cursor, in that order or its own."""
        return "suffix" in self._fim(order or self.fim_default)

    def in_words(self) -> str:
        """Say how the model is asked, on a line."""
        orders = self.hole_orders
        holes = f"holes {', '.join(orders)}" if orders else "no holes"
        if not self.shows_suffix():
            holes += ", text goes on from the prefix" + " by default" * bool(orders)
        return f"{holes}; {'chat' if self.chat else 'no chat'}"

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
        """Return the prompt for the answer to `messages`: see `ChatLayouts.ids`.

        Raises:
            OptionError: when a role is unknown, the last message is empty, or the model was not
                trained on conversations.

        """
        return [*self.start_ids, *self._chat.ids(messages, encode, self.before_prefix)]

    def answered(self, text: str, encode: Encode) -> list[int]:
        """Return an answer as it follows the prompt of `chat_ids`, with what ends it.

        Raises:
            OptionError: when the model was not trained on conversations.

        """
        return self._chat.answered(text, encode, self.end_id)

    @property
    def chat_stops(self) -> tuple[str, ...]:
        """Texts that an answer ends before: the next turn, where no special token begins it."""
        return self.chat.stops if self.chat else ()

    @property
    def _chat(self) -> ChatLayouts:
        if self.chat is None:
            raise OptionError(
                "this model was not trained on conversations; ask for a completion instead"
            )
        return self.chat


def _read(prompts: Mapping[str, Any]) -> Layouts:
    special = frozenset(map(read_id, prompts["special_ids"]))
    ends = tuple(map(read_id, prompts["end_ids"]))
    layouts = Layouts(
        fim_default=read_text(prompts["fim"]["default"]),
        fim={
            read_text(name): read_layout(parts, special)
            for name, parts in prompts["fim"]["orders"].items()
        },
        file=read_layout(prompts["file"], special),
        repository=read_layout(prompts["repository"], special),
        chat=None if prompts["chat"] is None else read_chat(prompts["chat"], special),
        start_ids=_specials("start_ids", prompts["start_ids"], special),
        end_ids=_specials("end_ids", ends, special),
        special_ids=special,
        before_prefix=read_text(prompts["fim"].get("before_prefix", "")),
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


def _specials(name: str, ids: Sequence[Any], special: frozenset[int]) -> tuple[int, ...]:
    if len(ids) > MOST_PARTS:
        raise ValueError(f"{len(ids)} {name}")
    if strange := [one for one in map(read_id, ids) if one not in special]:
        raise ValueError(f"{name}: {strange[0]} is not among the special ids")
    return tuple(ids)
