"""From the text around a cursor to the ids of a prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import PromptError
from .cursor import Cursor, OpenFile
from .lines import LINE_END, unix_line_ends
from .prompts import Layouts
from .suffix import SUFFIX_TOKENS, is_behind, near_tokens
from .tokens import Tokens
from .trim import CHARACTERS_A_TOKEN, trim

EXTRA_SHARE = 4  # other files get at most one part in four of the context

_NEXT_SIZE, _LEAST_TOKENS = 2 / 3, 96


@dataclass(frozen=True)
class Window:
    r"""What of a cursor's file can be in a prompt, and what else is open; lines end with `\n`.

    Args:
        prefix: the file up to the cursor, or the end of it where that is long.
        suffix: the file from the cursor on, but for what is hidden from the model, or its start.
        extra: other open files.
        filename: name of the file itself, used only beside `extra`.
        order: of the parts of the prompt, as the layouts name it; None is the model's default.
        lines_before: lines of the file before `prefix`.
        line_end: as the file has them.

    """

    prefix: str
    suffix: str
    extra: tuple[OpenFile, ...] = ()
    filename: str = ""
    order: str | None = None
    lines_before: int = 0
    line_end: str = LINE_END


@dataclass(frozen=True)
class CursorPrompt:
    """The ids of a prompt, the texts in it, and the bytes that the answer starts with.

    The text before the cursor is the last of the texts. `typed` are the bytes of the token before
    the cursor where healing left it out of the prompt, else empty.
    """

    ids: list[int]
    texts: list[list[int]]
    typed: bytes


def window_at(cursor: Cursor, context_tokens: int) -> Window:
    """Return the window around a cursor; when it is not `multiline`, without the line's rest.

    Of a file much longer than the context it holds no more than could fit, so that a keystroke in
    it takes no longer.
    """
    near = context_tokens * CHARACTERS_A_TOKEN
    # While one types it moves seldom: the cut points of a file with very long lines hang on it.
    start = max(0, len(cursor.prefix) // near - 1) * near
    prefix, suffix = cursor.prefix[start:], cursor.suffix
    windows_line_ends = "\r\n" in prefix or "\r\n" in suffix[:near]
    if not cursor.multiline:
        rest = suffix.find(LINE_END)
        suffix = suffix[rest:] if rest >= 0 else ""
    return Window(
        unix_line_ends(prefix),
        unix_line_ends(suffix[:near]),
        tuple((name, unix_line_ends(text)) for name, text in cursor.extra),
        cursor.filename,
        cursor.order,
        cursor.prefix.count(LINE_END, 0, start),
        "\r\n" if windows_line_ends else LINE_END,
    )


class CursorPrompts:
    """Makes prompts of windows, in as many tokens as there is room for."""

    def __init__(self, tokens: Tokens, layouts: Layouts) -> None:
        self._tokens, self._layouts = tokens, layouts

    def prompt(
        self,
        window: Window,
        limit_tokens: int,
        *,
        heal: bool | None = None,
        fits: Callable[[list[int]], bool] = lambda ids: True,
    ) -> CursorPrompt:
        """Return the prompt, of at most so many tokens; text far from the cursor is left out.

        The token before the cursor is left to the answer when `heal`, or by default at the end of a
        word, which may be broken: on held-out code the demo model then gets the rest of the line
        right twice as often (`python -m bench.healing`). Behind signs and blanks lines won and lost
        are level.

        Where the prompt does not satisfy `fits`, it is the largest of a few sizes that does, or
        else the smallest. There are few, so that the next keystroke has the same size, and finds
        its prompt cached.

        Raises:
            OptionError: when the model has no such order.
            PromptError: when there is no room for any text.

        """
        if heal is None:
            heal = window.prefix[-1:].isalnum() or window.prefix.endswith("_")
        prompt = self._whole(window, limit_tokens, heal=heal)
        size = float(limit_tokens)
        while not fits(prompt.ids) and (size := size * _NEXT_SIZE) >= _LEAST_TOKENS:
            if size < len(prompt.ids):
                prompt = self._whole(window, int(size), heal=heal)
        return prompt

    def _whole(self, window: Window, limit_tokens: int, *, heal: bool) -> CursorPrompt:
        order = window.order or self._layouts.fim_default
        room = limit_tokens - self._layouts.fim_overhead(order)
        if room < 1:
            raise PromptError(
                f"the prompt may have {limit_tokens} tokens, which leaves no room for text; ask "
                "for fewer new tokens"
            )
        files, own = self._extra_ids(window, room // EXTRA_SHARE) if window.extra else ([], [])
        encode, to_bytes = self._tokens.encode, self._tokens.to_bytes
        behind = is_behind(self._layouts.fim[order])
        long = behind and room > SUFFIX_TOKENS
        head = self._layouts.file_ids(window.filename, encode) if long else []
        blank = self._layouts.before_prefix
        budget = room - len(files) - len(head) - len(own) - len(blank)
        suffix = window.suffix if self._layouts.shows_suffix(order) else ""
        above, below = trim(window.prefix, suffix, budget, encode, window.lines_before)
        near = near_tokens(below, to_bytes) if behind else len(below)
        rest = [*head, *below[near:]] if near < len(below) else []
        others = [*files, *rest, *own]
        if blank and others:  # it stands before the first text
            others = encode(blank + self._tokens.decode(others))
        elif blank:
            lines = window.lines_before
            above, _ = trim(window.prefix, suffix, budget, encode, lines, before=blank)
        typed = to_bytes(above.pop()) if heal and above else b""
        ids = self._layouts.fim_ids(order, above, below[:near], others)
        return CursorPrompt(ids, [others, below[:near], above], typed)

    def _extra_ids(self, window: Window, budget: int) -> tuple[list[int], list[int]]:
        """Return other files, and the name of the file itself; the first files matter most."""
        encode = self._tokens.encode
        own = self._layouts.file_ids(window.filename, encode)
        files = self._layouts.repository_ids(encode)
        if len(files) + len(own) >= budget:
            return [], []
        for name, text in window.extra:
            head = self._layouts.file_ids(name, encode)
            room = budget - len(files) - len(head) - len(own)
            if room <= 0:
                break
            files += [*head, *encode(text.removesuffix("\n") + "\n")[:room]]
        return files, own
