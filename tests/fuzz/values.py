"""Hostile JSON: values of wrong types and sizes, in any place of a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

Spot = tuple[Any, Any]  # a list or dictionary, and the index or key in it

NUMBERS: tuple[Any, ...] = (
    -1, 0, 1, 2, 3, 127, 255, 2**16, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**32, 2**44,
    2**63 - 1, 2**63, 2**64, -(2**31), -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1.0, 1e-300,
    1e30, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "x", "0", "1", "-1", "{}", "{0}", "{x}", "{}{}{}", "prefix", "../x", "/etc/passwd",
    "a/../../b", "C:\\x", "\0", "\ud800", "\u202e\x1b[31m", "\n\n", "é" * 50,
    "<|endoftext|>", "x" * 100_000, "\U0001f600",
)  # fmt: skip


def hostile(random: Random) -> Any:
    """Return a value that a reader may not expect."""
    choice = random.random()
    if choice < 0.5:
        return random.choice(NUMBERS)
    if choice < 0.75:
        return random.choice(TEXTS)
    return random.choice(
        (None, True, False, [], {}, [None], [[]], {"": None}, [1, 2, 3], ["x"], nested(30))
    )


def nested(depth: int) -> Any:
    """Return lists and dictionaries within each other."""
    value: Any = []
    for level in range(depth):
        value = [value] if level % 2 else {"x": value}
    return value


def spots(value: Any) -> list[Spot]:
    """Return every place of a document, the outer ones first."""
    places: list[Spot] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        places += [(one, key) for key in keys]
        waiting += [one[key] for key in keys if isinstance(one[key], dict | list)]
    return places


def disturb(random: Random, value: Any) -> str:
    """Change one place of a document, and say how."""
    places = spots(value)
    if not places:
        return "nothing to change"
    holder, key = random.choice(places)
    change = random.choice(_CHANGES)
    return f"{key!r:.60}: {change(random, holder, key, places)}"


def _replace(random: Random, holder: Any, key: Any, _: list[Spot]) -> str:
    holder[key] = hostile(random)
    return f"is {brief(holder[key])}"


def _drop(_random: Random, holder: Any, key: Any, _: list[Spot]) -> str:
    del holder[key]
    return "dropped"


def _nudge(random: Random, holder: Any, key: Any, _: list[Spot]) -> str:
    old = holder[key]
    if isinstance(old, bool) or not isinstance(old, int | float):
        return _replace(random, holder, key, _)
    holder[key] = random.choice((old + 1, old - 1, 2 * old, -old, 0.5, str(old), [old]))
    return f"{old!r} is {holder[key]!r}"


def _wrap(random: Random, holder: Any, key: Any, _: list[Spot]) -> str:
    holder[key] = random.choice(([holder[key]], {"x": holder[key]}, [holder[key]] * 3))
    return "wrapped"


def _swap(random: Random, holder: Any, key: Any, places: list[Spot]) -> str:
    other, name = random.choice(places)
    # Copies, as a document must not hold itself.
    mine, theirs = (json.loads(json.dumps(value)) for value in (holder[key], other[name]))
    holder[key], other[name] = theirs, mine
    return f"swapped with {name!r:.60}"


def _add(random: Random, holder: Any, key: Any, _: list[Spot]) -> str:
    if isinstance(holder, dict):
        name = random.choice(("x", "__class__", "path", "name", "", f"{key} "))
        holder[name] = hostile(random)
        return f"{name!r} beside it is {brief(holder[name])}"
    holder.insert(key, hostile(random) if random.random() < 0.5 else holder[key])
    return f"{brief(holder[key])} before it"


_CHANGES: tuple[Callable[[Random, Any, Any, list[Spot]], str], ...] = (
    _replace, _replace, _replace, _drop, _nudge, _nudge, _wrap, _swap, _add,
)  # fmt: skip


def written(random: Random, value: Any) -> tuple[bytes, str]:
    """Return a document as bytes, seldom damaged as a text, and how."""
    data = json.dumps(value).encode()
    if random.random() > 0.08:
        return data, ""
    at = random.randrange(len(data) or 1)
    return random.choice((
        (data[:at], "cut short"),
        (b"\xef\xbb\xbf" + data, "with a byte order mark"),
        (data[:at] + b"\xff\xfe" + data[at:], "invalid UTF-8"),
        (data.decode().encode("utf-16"), "in UTF-16"),
        (b"[" * 100_000, "100,000 open brackets"),
        (b'{"x":' * 100_000, "100,000 open braces"),
        (b"[" + data + b"]", "within a list"),
        (data.replace(b": ", b": 1" + b"0" * 5000 + b", \"y\": ", 1), "a number of 5,000 digits"),
        (data[:-1] + b', "format": 2, "decoder": {}}', "fields twice"),
        (data + b"\0" * 100, "zeros behind it"),
        (b"", "empty"),
    ))  # fmt: skip


def brief(value: Any) -> str:
    """Return a value in a few characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"
