"""What crosses between a program and its checker."""

import io
import json
import math
from collections import Counter, OrderedDict, namedtuple
from enum import IntEnum
from typing import Any

import pytest

from refact_edge.quant.eval.judging.inside.plain import NotPlainError, decode, encode, receive, send

Pair = namedtuple("Pair", "a b")


class Level(IntEnum):
    LOW = 1


VALUES: list[Any] = [
    None, True, False, 0, -5, 1 << 53, -(1 << 200), 10**5000, 1.5, -0.0, math.inf, -math.inf,
    2 + 3j, "", "é\ud800\n", b"\x00\xff", [], [1, [2.0, "x"]], (), (1, (2,)), set(), {1, "a"},
    frozenset({1}), {}, {1: "a", (1, 2): {"b": [None]}}, {"tuple": [1]}, [True, 1, 1.0],
]  # fmt: skip


def _crossed(value: Any) -> Any:
    pipe = io.BytesIO()
    send(pipe, {"value": encode(value)})
    pipe.seek(0)
    return decode(receive(pipe)["value"])


def _types(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else value
    nested = isinstance(value, (list, tuple, dict))
    return (type(value), [_types(item) for item in inside] if nested else None)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{str(type(value))[8:-2]}")
def test_a_plain_value_crosses_as_it_is(value: Any) -> None:
    crossed = _crossed(value)
    assert crossed == value
    assert _types(crossed) == _types(value)


def test_nan_and_the_sign_of_zero_cross() -> None:
    assert math.isnan(_crossed(math.nan))
    assert math.copysign(1, _crossed(-0.0)) == -1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Pair(1, 2), (1, 2)),
        (Level.LOW, 1),
    ],
)
def test_a_subclass_arrives_as_its_builtin_type(value: Any, plain: Any) -> None:
    assert _crossed(value) == plain
    assert type(_crossed(value)) is type(plain)


@pytest.mark.parametrize("value", [object(), print, range(3), iter([]), {1: object()}, type])
def test_nothing_else_crosses(value: Any) -> None:
    with pytest.raises(NotPlainError, match="is not plain"):
        encode(value)


@pytest.mark.parametrize(
    "message",
    [
        {"eval": "1"}, {}, {"tuple": [1], "set": []}, {"set": [[1]]}, {"dict": [[1]]}, {"int": "x"},
        {"bytes": "zz"}, {"complex": ["a", 1]}, {"tuple": 7}, {"dict": [[[1], 2]]},
    ],
)  # fmt: skip
def test_a_message_that_encode_does_not_write_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(NotPlainError, match="unreadable value"):
        decode(message)


def test_a_line_that_is_no_object_is_refused() -> None:
    for line in (b"7\n", b"not json\n", b"[" * 100_000 + b"\n", b"\xff\n"):
        with pytest.raises(NotPlainError):
            receive(io.BytesIO(line))
    with pytest.raises(EOFError):
        receive(io.BytesIO(b""))


def test_messages_are_single_lines() -> None:
    pipe = io.BytesIO()
    send(pipe, {"value": encode("a\nb")})
    assert pipe.getvalue().count(b"\n") == 1
    assert json.loads(pipe.getvalue()) == {"value": "a\nb"}
