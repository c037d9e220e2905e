"""What an editor's user may set, in the section `refactEdge`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ...errors import OptionError, one_line

Lines = Literal["auto", "one", "many"]


@dataclass(frozen=True)
class Preferences:
    """How completions are made.

    Args:
        enabled: False shows none.
        max_tokens: the most new tokens.
        temperature: 0 takes the likeliest; above it, each request draws its own.
        lines: one, many (up to a blank line), or auto: one where text follows on the cursor's line.
        read_ahead: while a completion is on screen, evaluate the prompt of the next one.
        open_files: so many other open files are part of the prompt, the latest first.
        total_ms: time limit for a completion, in ms; 0 for no limit.

    """

    enabled: bool = True
    max_tokens: int = 48
    temperature: float = 0.0
    lines: Lines = "auto"
    read_ahead: bool = True
    open_files: int = 0
    total_ms: float = 0.0

    @classmethod
    def from_json(cls, settings: Any) -> tuple[Preferences, list[str]]:
        """Read an editor's settings; return them, and what is wrong with some of them.

        Each is judged alone. One that is absent, or is wrong, has its default.

        Raises:
            OptionError: when they are no object; an empty list counts as an empty one, as
                some languages write it.

        """
        if settings is None or settings == []:
            return cls(), []
        if not isinstance(settings, dict):
            raise OptionError(f"refactEdge settings: {_short(settings)}; expected an object")
        names = {_camel(field.name): field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, value in settings.items():
            if name not in names:
                problems.append(f"unknown {_short(name)}, expected one of {', '.join(names)}")
            elif not _RULES[names[name]].right(value):
                problems.append(f"{name} {_short(value)}, expected {_RULES[names[name]].expected}")
            else:
                values[names[name]] = value
        return cls(**values), problems


@dataclass(frozen=True)
class _Rule:
    """What a setting may be."""

    right: Callable[[Any], bool]
    expected: str


def _number(least: float, most: float, *kinds: type[float]) -> _Rule:
    def right(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return bool(least <= value <= most)

    what = "a number" if float in kinds else "a whole number"
    return _Rule(right, f"{what} from {least:.0f} to {most:.0f}")


_SWITCH = _Rule(lambda value: isinstance(value, bool), "true or false")
_RULES = {
    "enabled": _SWITCH,
    "max_tokens": _number(1, 2048, int),
    "temperature": _number(0, 2, int, float),
    "lines": _Rule(lambda value: value in get_args(Lines), " or ".join(get_args(Lines))),
    "read_ahead": _SWITCH,
    "open_files": _number(0, 16, int),
    "total_ms": _number(0, 3_600_000, int, float),
}


def _short(value: Any) -> str:
    return one_line(repr(value), 40)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
