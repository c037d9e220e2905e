"""Arguments of another type than their annotation, refused in one line at the door.

Python itself would tell of them from somewhere inside, or go on with nonsense. Only what public
annotations use is understood here: classes, None, unions, sequences, mappings and tuples.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, wraps
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import OptionError, one_line

_P = ParamSpec("_P")
_R = TypeVar("_R")
# As Python itself has it, and numpy's numbers with them.
_NUMBERS: Mapping[object, type] = {int: Integral, float: Real}
_WORDS: Mapping[object, str] = {
    str: "text", bool: "True or False", int: "a whole number", float: "a number", NoneType: "None",
}  # fmt: skip


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function refuse arguments of other types than its annotations, by an OptionError."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with suppress(TypeError):  # of which the call itself tells
            bound = signature.bind(*args, **kwargs)
            check_types(function.__name__, bound.arguments, _hints(function))
        return function(*args, **kwargs)

    return call


def check_fields(value: object) -> None:
    """Refuse a dataclass whose fields have values of other types than their annotations.

    Raises:
        OptionError: naming all of them.

    """
    kind: Any = type(value)
    check_types(kind.__name__, vars(value), _hints(kind))


def check_types(where: str, values: Mapping[str, object], hints: Mapping[str, object]) -> None:
    """Refuse values of other types than `hints` has.

    Raises:
        OptionError: naming all of them, and what was expected.

    """
    problems = [
        f"{name} {one_line(repr(value), 40)}; expected {_in_words(hints[name])}"
        for name, value in values.items()
        if name in hints and not _fits(value, hints[name])
    ]
    if problems:
        raise OptionError(f"{where}: {'; '.join(problems)}", problems=problems)


@cache
def _hints(what: Any) -> dict[str, Any]:
    return get_type_hints(what)


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if hint in (int, float) and isinstance(value, bool):
        return False
    if origin is None:
        return not isinstance(hint, type) or isinstance(value, _NUMBERS.get(hint, hint))
    if origin is tuple:
        return (
            isinstance(value, (tuple, list))
            and len(value) == len(arguments)
            and all(map(_fits, value, arguments))
        )
    if origin is Sequence:  # of numpy's arrays, too
        listed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if not listed or isinstance(value, (str, bytes, Mapping)):
            return False
        return all(_fits(one, arguments[0]) for one in value)  # type: ignore[attr-defined]
    return isinstance(value, origin)


def _in_words(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, arguments))
    if origin is tuple:
        return f"({', '.join(map(_in_words, arguments))})"
    if origin is Sequence:
        return f"a list, each entry {_in_words(arguments[0])}"
    if origin is not None:
        return "a mapping" if origin is Mapping else f"a {origin.__name__}"
    return _WORDS.get(hint, f"a {hint.__name__}")
