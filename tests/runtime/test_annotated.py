"""Arguments of another type are refused at the door, in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refact_edge
from refact_edge import Cursor, Endings, Limits, Model, OptionError, Sampling

LOAD: Any = refact_edge.load


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Any:
    return refact_edge.load(tiny_bundle)


Call = Callable[[Any], object]
WRONG: list[tuple[Call, str]] = [
    (lambda m: m.complete(3), "complete: prefix 3; expected text"),
    (lambda m: m.complete("a", None), "complete: suffix None; expected text"),
    (lambda m: m.complete(b"a"), "complete: prefix b'a'; expected text"),
    (lambda m: m.complete("a", extra=["x.py"]), "expected a list, each entry (text, text)"),
    (lambda m: m.complete("a", max_tokens="5"), "max_tokens '5'; expected a whole number or None"),
    (lambda m: m.complete("a", max_tokens=True), "max_tokens True; expected a whole number or"),
    (lambda m: m.complete("a", max_tokens=2.5), "max_tokens 2.5; expected a whole number or None"),
    (lambda m: m.complete("a", total_ms="1s"), "total_ms '1s'; expected a number or None"),
    (lambda m: m.complete("a", stop=[1]), "stop [1]; expected a list, each entry text or None"),
    (lambda m: m.complete("a", sampling=0.2), "sampling 0.2; expected a Sampling or None"),
    (lambda m: m.complete("a", cancel=1), "cancel 1; expected a CancelToken or None"),
    (lambda m: m.complete_at("a"), "cursor 'a'; expected a Cursor"),
    (lambda m: m.warm(1), "warm: prefix 1; expected text"),
    (lambda m: m.chat("hello"), "messages 'hello'; expected a list, each entry a mapping"),
    (lambda m: m.chat([1]), "messages [1]; expected a list, each entry a mapping"),
    (lambda m: m.chat({"role": "user"}), "expected a list, each entry a mapping"),
    (lambda m: m.generate(1.5), "prompt 1.5; expected text or a list, each entry a whole number"),
    (
        lambda m: m.generate(["a"]),
        "prompt ['a']; expected text or a list, each entry a whole number",
    ),
    (lambda m: m.tokens.count(1), "count: text 1; expected text"),
    (lambda _: LOAD(1), "load: bundle 1; expected text or a Path or None"),
    (lambda _: LOAD("x", threads="2"), "threads '2'; expected a whole number or None"),
    (lambda _: LOAD("x", hashes=1), "hashes 1; expected True or False"),
    (lambda _: Cursor(1, 2), "Cursor: prefix 1; expected text; suffix 2; expected text"),  # type: ignore[arg-type]
    (lambda _: Limits(prompt_ms="1"), "Limits: prompt_ms '1'; expected a number or None"),  # type: ignore[arg-type]
    (lambda _: Endings(block=None), "Endings: block None; expected True or False"),  # type: ignore[arg-type]
    (lambda _: Sampling(temperature="0"), "Sampling: temperature '0'; expected a number"),  # type: ignore[arg-type]
    (lambda _: refact_edge.limit_memory("1 GB"), "limit_bytes '1 GB'; expected a whole number or"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=[words[:30] for _, words in WRONG])
def test_a_wrong_type_is_one_line(call: Call, words: str, model: Model) -> None:
    with pytest.raises(OptionError) as refused:
        call(model)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_stands_for_the_type_is_taken(model: Model) -> None:
    ids = np.array(model.tokens.encode("a = 1\n"), np.int64)
    assert model.generate(ids, max_tokens=np.int64(1)).prompt_ids[-len(ids) :] == ids.tolist()  # type: ignore[arg-type]
    list(model.complete("a", extra=[["b.py", "b"]], total_ms=np.float32(9000), stop=("x",)))  # type: ignore[list-item, arg-type]
    Sampling(temperature=0, top_p=1)


def test_unknown_names_are_pythons_own_error(model: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'maxtokens'"):
        model.complete("a", maxtokens=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'prefix'"):
        model.complete()
