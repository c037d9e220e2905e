"""Where a completion ends, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..annotated import check_fields
from ..errors import OptionError
from .endings import Endings
from .lines import LINE_END, unix_line_ends

BLANK_LINE = LINE_END + LINE_END


@dataclass(frozen=True)
class Limits:
    """What ends a completion, in tokens, time and text.

    Args:
        max_tokens: the most new tokens; None takes the model's default.
        prompt_ms: time limit for evaluating the prompt, in ms: text far from the cursor is left out
            until the rest can be evaluated in time.
        total_ms: time limit for the whole request, in ms; half of it is for the prompt where
            `prompt_ms` is None.
        stop: strings that end the text and are not part of it; None is a blank line.
        endings: other rules that end the text; None takes the usual ones.

    Raises:
        OptionError: when `stop` is one string, or a value is of another type.

    """

    max_tokens: int | None = None
    prompt_ms: float | None = None
    total_ms: float | None = None
    stop: Sequence[str] | None = None
    endings: Endings | None = None

    def __post_init__(self) -> None:
        check_stops(self.stop)
        check_fields(self)

    def stops(self, *, multiline: bool) -> tuple[str, ...]:
        """Return the strings that end the text; when not `multiline`, a line end is one of them."""
        stops = () if self.stop is None else tuple(map(unix_line_ends, self.stop))
        if not multiline:
            return (LINE_END, *stops)
        return (BLANK_LINE,) if self.stop is None else stops


def check_stops(stop: Sequence[str] | None) -> None:
    """Refuse a string in place of a list of strings: each of its characters would end the text.

    Raises:
        OptionError: when it is one.

    """
    if isinstance(stop, str):
        raise OptionError(f"stop {stop!r} is a string; expected a list of strings")
