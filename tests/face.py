"""The public face as text: names, signatures, fields and defaults, a line each.

    PYTHONPATH=tests python -m face > tests/face.txt

is run after a change that was meant. What stands there is stable: see docs/python.md.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_origin

import refact_edge

HOOKS = (
    *("__enter__", "__exit__", "__iter__", "__next__", "__aiter__", "__await__"),
    *("__copy__", "__reduce__"),
)


def lines() -> Iterator[str]:
    """Yield what each public name offers."""
    for name in refact_edge.__all__:
        value = getattr(refact_edge, name)
        if isinstance(value, str):
            continue  # the version
        if not isinstance(value, type) or get_origin(value):
            yield (
                f"{name}{inspect.signature(value)}"
                if inspect.isfunction(value)
                else f"{name} = {value}"
            )
            continue
        yield f"{name}({', '.join(base.__name__ for base in value.__bases__)})"
        yield from sorted(_members(name, value))


def _members(name: str, kind: type[Any]) -> Iterator[str]:
    constants = fields(kind) if is_dataclass(kind) else ()
    for field in constants:
        default = "" if field.default is MISSING else f" = {field.default!r}"
        yield f"  {name}.{field.name}: {field.type}{default}"
    for member, value in vars(kind).items():
        if member in {field.name for field in constants}:
            continue
        if member.startswith("_") and member not in HOOKS:
            continue
        if isinstance(value, property):
            assert value.fget is not None
            yield f"  {name}.{member}: {inspect.signature(value.fget).return_annotation}"
        elif callable(value) or isinstance(value, classmethod):
            function = getattr(value, "__func__", value)
            yield f"  {name}.{member}{inspect.signature(function)}"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in lines()))
