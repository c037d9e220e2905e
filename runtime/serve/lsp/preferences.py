"""What an editor's user may set, in the section `refactEdge`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ...errors import OptionError

Lines = Literal["auto", "one", "many"]
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "Lines": (str,),
}


@dataclass(frozen=True)
class Preferences:
    """How completions are made.

    Args:
        enabled: False shows none.
        max_tokens: the most new tokens.
        temperature: 0 takes the likeliest; above it, each request is drawn anew.
        lines: one, many (up to a blank line), or auto: one where text follows on the cursor's line.
        read_ahead: read what would be asked once a shown completion is accepted.
        open_files: so many other open files are shown to the model, the latest first.
        total_ms: how long one may take; 0 for no limit.

    Raises:
        OptionError: when a value is outside its range; lists all that are.

    """

    enabled: bool = True
    max_tokens: int = 48
    temperature: float = 0.0
    lines: Lines = "auto"
    read_ahead: bool = True
    open_files: int = 0
    total_ms: float = 0.0

    def __post_init__(self) -> None:
        rules = (
            ("maxTokens", 0 < self.max_tokens <= 2048, "1 to 2048"),
            ("temperature", 0 <= self.temperature <= 2, "0 to 2"),
            ("lines", self.lines in get_args(Lines), " or ".join(get_args(Lines))),
            ("openFiles", 0 <= self.open_files <= 16, "0 to 16"),
            ("totalMs", self.total_ms >= 0, "0 or more"),
        )
        if wrong := [f"{name}: expected {rule}" for name, right, rule in rules if not right]:
            raise OptionError("refactEdge settings: " + "; ".join(wrong))

    @classmethod
    def from_json(cls, given: Any) -> Preferences:
        """Read an editor's settings; what is not given is as above.

        Raises:
            OptionError: when a name is unknown, or a value of another type or range.

        """
        if given is None:
            return cls()
        if not isinstance(given, dict):
            raise OptionError(f"refactEdge settings: {given!r:.60}; expected an object")
        known = {_camel(field.name): field for field in fields(cls)}
        if unknown := sorted(given.keys() - known.keys()):
            names = ", ".join(known)
            raise OptionError(f"refactEdge settings: no {unknown[0]!r}; there are: {names}")
        values: dict[str, Any] = {}
        for name, value in given.items():
            kind = str(known[name].type)
            if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) != (kind == "bool")):
                raise OptionError(f"refactEdge settings: {name} {value!r:.40}; expected {kind}")
            values[known[name].name] = value
        return cls(**values)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
