"""The last token before the cursor is written anew, and shown once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import CountingSession

import refact_edge
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY, Sampling
from refact_edge.runtime.text.healing import Healing, Spellings
from refact_edge.runtime.text.tokens import Tokens, Utf8Stream


@pytest.fixture(scope="module")
def tokens(root: Path) -> Tokens:
    return Tokens(root / "demo" / "checkpoint" / "tokenizer.json")


@pytest.fixture(scope="module")
def spellings(tokens: Tokens) -> Spellings:
    return Spellings(tokens, [0])


@pytest.mark.parametrize("start", [b"re", b"\n    ", b" ", b"self.", b"\xc3", b"zzzzzz"])
def test_every_id_that_begins_with_some_bytes_is_found_and_no_other(
    tokens: Tokens, spellings: Spellings, start: bytes
) -> None:
    expected = {i for i in range(1, tokens.size) if tokens.to_bytes(i).startswith(start)}
    assert set(spellings.starting_with(start)) == expected
    same = {i for i in range(1, tokens.size) if tokens.to_bytes(i) == start}
    assert set(spellings.of(start)) == same


def test_what_may_come_next_spells_what_was_typed(tokens: Tokens, spellings: Spellings) -> None:
    healing = Healing(b"ret", tokens, spellings)
    first = healing.allowed([])
    assert first is not None
    starts = {tokens.to_bytes(i) for i in first}
    assert {b"r", b"return"} <= starts
    assert all(b"ret".startswith(s) or s.startswith(b"ret") for s in starts)
    (letter,) = spellings.of(b"r")
    then = healing.allowed([letter])
    assert then is not None
    assert all(b"et".startswith(s) or s.startswith(b"et") for s in map(tokens.to_bytes, then))
    (word,) = spellings.of(b"return")
    assert healing.allowed([word]) is None


def test_bytes_that_were_typed_are_not_shown_again(tokens: Tokens) -> None:
    stream = Utf8Stream(tokens, skip=3)
    (word,), (sign,) = Spellings(tokens, []).of(b"return"), Spellings(tokens, []).of(b"(")
    assert stream.push(word) + stream.push(sign) == "urn("


def test_until_it_is_free_only_what_is_allowed_comes_and_the_end_is_not_the_first() -> None:
    session = CountingSession()
    seen: list[int] = []

    def allowed(new_ids: Sequence[int]) -> np.ndarray | None:
        seen.append(len(new_ids))
        return np.array([20, 31]) if len(new_ids) < 2 else None

    request = Request(
        [3], GREEDY, 5, frozenset({0}), forbidden_first=(0,), allowed=allowed, texts=[[3]]
    )
    generation = Generation(session, PrefixCache(session.new_cache), request)
    # Of 20 and 31 neither is what the session likes best: the lower id wins; after 31 comes 0.
    assert list(generation)[:2] == [20, 20]
    assert seen == [0, 1, 2]
    ending = Request([3], GREEDY, 3, frozenset({0}), forbidden_first=(0,), allowed=_thirty_one)
    assert list(Generation(session, PrefixCache(session.new_cache), ending))[:2] == [31, 1]


def _thirty_one(new_ids: Sequence[int]) -> np.ndarray | None:
    return None if new_ids else np.array([31])


@pytest.mark.parametrize("typed", ["    retu", "    x = sel", "\n    ", "é", "    if not isi"])
def test_a_completion_goes_on_behind_what_was_typed(demo_bundle: Path, typed: str) -> None:
    model = refact_edge.load(demo_bundle)
    before = "def f(self, x):\n    y = x\n" + typed
    for temperature in (0.0, 1.0):
        sampling = Sampling(temperature=temperature, seed=2)
        stream = model.complete(before, "\n", max_tokens=12, heal=True, sampling=sampling)
        text = "".join(stream)
        spelled = b"".join(model.tokens.to_bytes(i) for i in stream.ids)
        piece = model.tokens.to_bytes(model.tokens.encode(before)[-1])
        assert spelled.startswith(piece)
        assert spelled[len(piece) :].decode("utf-8", "replace").startswith(text)


@pytest.mark.parametrize(
    ("text", "healed"), [("retu", True), ("a_", True), ("f(", False), ("a ", False)]
)
def test_by_itself_it_happens_where_a_word_may_be_broken(
    demo_bundle: Path, text: str, healed: bool
) -> None:
    model = refact_edge.load(demo_bundle)
    ids = {
        heal: model.complete("def f(x):\n    " + text, heal=heal)._generation.request.ids
        for heal in (True, False, None)
    }
    assert ids[True] != ids[False]
    assert ids[None] == ids[healed]
    assert model.complete("", "x", heal=True)._generation.request.allowed is None
