"""Prompt layouts as data: special tokens by their names, until a tokenizer says their ids.

A family is how some models were trained to be asked: in which order a hole's parts stand, how other
files are introduced, what a conversation looks like. Which family a checkpoint belongs to is seen
by the tokens it has, and not by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Token:
    """A special token in a layout."""

    name: str


Parts = tuple[Token | str, ...]
NOTHING: Parts = ()

# Slots of a hole's layout: the text before the cursor, that behind it, and other open files. Where
# no place is said for those, they stand before the prefix.
PREFIX, SUFFIX, FILES = "prefix", "suffix", "files"
LEFT_TO_RIGHT: Mapping[str, Parts] = {"prefix": (PREFIX,)}  # of a model without holes


@dataclass(frozen=True)
class Chat:
    """What a conversation looks like; a content stands in place of {}.

    Args:
        system: a system message.
        user: a question.
        assistant: an answer of before.
        answer: what stands before the answer to come.
        default_system: the system message where none is given.
        system_rule: when that stands there: always, or only before a single question; "even empty"
            is always, and an empty one where there is no default.
        strip: whether contents lose the blanks around them.
        marks: starts of lines that begin a turn; of templates that have no special tokens there.
        tags: texts that mean something to the model wherever they stand in a content.
        in_question: how a system message stands before the question that follows it, of models that
            have no turn for it.

    """

    system: Parts
    user: Parts
    assistant: Parts
    answer: Parts
    default_system: str = ""
    system_rule: Literal["always", "single", "even empty"] = "always"
    strip: bool = True
    marks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    in_question: str = ""


@dataclass(frozen=True)
class Traits:
    """What tells one family from another.

    Args:
        config: the checkpoint's config.json.
        tokens: its special tokens.
        splits_digits: whether each digit is a word of its own.
        name: what the checkpoint calls itself; of families that have the same tokens.

    """

    config: Mapping[str, Any]
    tokens: Collection[str]
    splits_digits: bool
    name: str = ""


@dataclass(frozen=True)
class PromptFamily:
    """How some models were trained to be asked.

    Args:
        name: as `export --prompts` has it.
        ends: tokens that a text ends with; the first is that of code.
        fim: layouts of a hole, by the order of their parts; of those that the models were trained
            with.
        fim_default: the order that serves them best.
        file: the line that introduces a file.
        repository: what stands once before other files.
        start: tokens that every prompt begins with.
        chat: None for models that were not trained on conversations.
        sampling: defaults.
        places: tokens whose ids must be their places here, where those are known.
        fits: whether a checkpoint that has all the tokens is of this family.

    """

    name: str
    ends: tuple[str, ...]
    fim: Mapping[str, Parts]
    fim_default: str
    file: Parts
    repository: Parts = NOTHING
    start: tuple[str, ...] = ()
    chat: Chat | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    fits: Callable[[Traits], bool] = lambda traits: True

    @property
    def tokens(self) -> list[str]:
        """The special tokens that it needs, each once."""
        chat = self.chat
        talk = (chat.system, chat.user, chat.assistant, chat.answer) if chat else ()
        layouts = (*self.fim.values(), self.file, self.repository, *talk)
        named = [part.name for parts in layouts for part in parts if isinstance(part, Token)]
        return list(dict.fromkeys([*self.places, *self.start, *self.ends, *named]))


def family_of(families: tuple[PromptFamily, ...], traits: Traits) -> PromptFamily | None:
    """Return the first family that a checkpoint has all tokens of, and whose rule it keeps."""
    present = set(traits.tokens)
    fitting = (one for one in families if present.issuperset(one.tokens) and one.fits(traits))
    return next(fitting, None)


def manifest_prompts(
    family: PromptFamily,
    ids: Mapping[str, int],
    start: tuple[int, ...] = (),
    before_text: str = "",
) -> dict[str, Any]:
    """Return the `prompts` entry of a manifest.

    `ids` are those of all special tokens; `start` is what the tokenizer itself puts before a text,
    where it says so, and `before_text` the blank that it puts there.
    """

    def layout(parts: Parts) -> list[int | str]:
        return [ids[part.name] if isinstance(part, Token) else part for part in parts]

    chat = family.chat
    return {
        "family": family.name,
        "fim": {
            "default": family.fim_default,
            "orders": {order: layout(parts) for order, parts in family.fim.items()},
            "before_prefix": before_text,
        },
        "file": layout(family.file),
        "repository": layout(family.repository),
        "chat": chat
        and {
            "default_system": chat.default_system,
            "system_rule": chat.system_rule,
            "strip": chat.strip,
            "marks": list(chat.marks),
            "tags": list(chat.tags),
            "in_question": chat.in_question,
            "layouts": {
                role: layout(getattr(chat, role))
                for role in ("system", "user", "assistant", "answer")
            },
        },
        "start_ids": list(start) or [ids[name] for name in family.start],
        "end_ids": [ids[name] for name in family.ends],
        "special_ids": sorted(ids.values()),
    }
