"""From the text around a cursor to the ids of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import PromptError
from .prompts import Layouts
from .tokens import Tokens
from .trim import CHARACTERS_A_TOKEN, trim

EXTRA_SHARE = 4  # other files get at most one part in four of the context

_NEXT_SIZE, _LEAST_TOKENS = 2 / 3, 96

LINE_END = "\n"

OpenFile = tuple[str, str]  # file name and text


@dataclass(frozen=True)
class Place:
    """A cursor in a file, and what else is open; line ends are those that the model has read.

    Args:
        prefix: the file up to the cursor, or the end of it where that is long.
        suffix: the file from the cursor on, but for what is hidden from the model, or its start.
        extra: other open files.
        filename: name of the file itself, used only beside `extra`.
        order: of the parts of the prompt, as the layouts name it.
        lines_before: lines of the file before `prefix`.
        line_end: as the file has them.

    """

    prefix: str
    suffix: str
    extra: tuple[OpenFile, ...]
    filename: str
    order: str
    lines_before: int = 0
    line_end: str = LINE_END


@dataclass(frozen=True)
class CursorPrompt:
    """The ids of a prompt, the texts they stand for, and the piece taken back.

    The text before the cursor is the last of the texts. `typed` are the bytes of the token before
    the cursor where it was taken back, else empty.
    """

    ids: list[int]
    texts: list[list[int]]
    typed: bytes


def place_of(
    prefix: str,
    suffix: str,
    extra: Sequence[OpenFile],
    filename: str,
    order: str,
    *,
    multiline: bool,
    context_tokens: int,
) -> Place:
    """Return the place; when not `multiline`, what follows the cursor on its line is hidden.

    Of a file much longer than the context no more is looked at than could fit, so that a
    keystroke in it takes no longer.
    """
    near = context_tokens * CHARACTERS_A_TOKEN
    # While one types it moves seldom: the cut points of a file with very long lines hang on it.
    start = max(0, len(prefix) // near - 1) * near
    lines_before = prefix.count(LINE_END, 0, start)
    prefix = prefix[start:]
    windows = "\r\n" in prefix or "\r\n" in suffix[:near]
    if not multiline:
        rest = suffix.find(LINE_END)
        suffix = suffix[rest:] if rest >= 0 else ""
    suffix = suffix[:near]
    return Place(
        plain(prefix),
        plain(suffix),
        tuple((name, plain(text)) for name, text in extra),
        filename,
        order,
        lines_before,
        "\r\n" if windows else LINE_END,
    )


def plain(text: str) -> str:
    """Return text with the line ends that the model has read."""
    return text.replace("\r\n", LINE_END)


class CursorPrompts:
    """Makes prompts of places, in as many tokens as there is room for."""

    def __init__(self, tokens: Tokens, layouts: Layouts) -> None:
        self._tokens, self._layouts = tokens, layouts

    def prompt(
        self,
        place: Place,
        limit_tokens: int,
        *,
        heal: bool | None = None,
        fits: Callable[[list[int]], bool] = lambda ids: True,
    ) -> CursorPrompt:
        """Return the prompt, of at most so many tokens; text far from the cursor is left out.

        The token before the cursor is taken back when `heal`, or by default at the end of a word,
        which may be broken: on held-out code the demo model then finds the rest of the line twice
        as often (`python -m bench.healing`). Behind signs and blanks lines won and lost are level.

        Where it does not fit, it is the largest of a few sizes that does, or else the smallest.
        There are few, so that the next keystroke comes to the same, and finds it read.

        Raises:
            OptionError: when the model has no such order.
            PromptError: when there is no room for any text.

        """
        if heal is None:
            heal = place.prefix[-1:].isalnum() or place.prefix.endswith("_")
        prompt = self._whole(place, limit_tokens, heal=heal)
        size = float(limit_tokens)
        while not fits(prompt.ids) and (size := size * _NEXT_SIZE) >= _LEAST_TOKENS:
            if size < len(prompt.ids):
                prompt = self._whole(place, int(size), heal=heal)
        return prompt

    def _whole(self, place: Place, limit_tokens: int, *, heal: bool) -> CursorPrompt:
        room = limit_tokens - self._layouts.fim_overhead(place.order)
        if room < 1:
            raise PromptError(
                f"the prompt may have {limit_tokens} tokens, which leaves no room for text; ask "
                "for fewer new tokens"
            )
        shown = self._extra_ids(place, room // EXTRA_SHARE) if place.extra else []
        above, below = trim(
            place.prefix, place.suffix, room - len(shown), self._tokens.encode, place.lines_before
        )
        typed = self._tokens.to_bytes(above.pop()) if heal and above else b""
        ids = self._layouts.fim_ids(place.order, [*shown, *above], below)
        return CursorPrompt(ids, [shown, below, above], typed)

    def _extra_ids(self, place: Place, budget: int) -> list[int]:
        """Return other files and the name of the file itself; the first files matter most."""
        encode = self._tokens.encode
        own = self._layouts.file_ids(place.filename, encode)
        if len(own) >= budget:
            return []
        files: list[int] = []
        for name, text in place.extra:
            head = self._layouts.file_ids(name, encode)
            room = budget - len(files) - len(head) - len(own)
            if room <= 0:
                break
            files += [*head, *encode(text.removesuffix("\n") + "\n")[:room]]
        return [*files, *own]
