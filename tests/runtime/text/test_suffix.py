"""What of the suffix stands in a prompt where it comes behind what is typed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from refact_edge.runtime.bench.traces import asks, read_trace, shipped_traces
from refact_edge.runtime.text.completion import CursorPrompts, Window
from refact_edge.runtime.text.prompts import Layouts
from refact_edge.runtime.text.suffix import SUFFIX_TOKENS, is_behind, near_tokens

LAYOUTS = Layouts(
    "psm",
    {"psm": ("files", 1, "prefix", 3, "suffix", 2), "spm": (3, "suffix", 1, "prefix", 2)},
    (5, "{}\n"),
    (),
    None,
    (),
    (0,),
    frozenset({0, 1, 2, 3, 5}),
)


class Characters:
    """A tokenizer with one id a character."""

    def encode(self, text: str) -> list[int]:
        return [100 + ord(character) for character in text]

    def to_bytes(self, token_id: int) -> bytes:
        return chr(token_id - 100).encode()


PROMPTS = CursorPrompts(Characters(), LAYOUTS)  # type: ignore[arg-type] # all that it needs


def _ids(prefix: str, suffix: str, order: str | None = None, limit: int = 4000) -> list[int]:
    window = Window(prefix, suffix, order=order)
    return PROMPTS.prompt(window, limit, heal=False).ids


def _evaluated(before: Sequence[int], ids: Sequence[int]) -> int:
    same = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(ids))
    return len(ids) - same


def test_the_layout_says_which_comes_first() -> None:
    assert is_behind(LAYOUTS.fim["psm"])
    assert not is_behind(LAYOUTS.fim["spm"])


def test_far_lines_of_the_suffix_stand_before_the_prefix_like_a_file() -> None:
    encode, line = Characters().encode, "\nbelow"
    ids = PROMPTS.prompt(Window("x = ", 100 * line, filename="a.py"), 4000, heal=False).ids
    near = SUFFIX_TOKENS // len(line)
    rest = [5, *encode("a.py\n" + ((100 - near) * line).removeprefix("\n"))]
    assert ids == [*rest, 1, *encode("x = "), 3, *encode(near * line + "\n"), 2]


def test_a_short_suffix_is_whole() -> None:
    encode, below = Characters().encode, "\n" + "y" * (SUFFIX_TOKENS - 1)
    assert _ids("x", below) == [1, *encode("x"), 3, *encode(below), 2]


@pytest.mark.parametrize("suffix", ["y" * 999, "\n" + "y" * 999])
def test_a_long_line_is_cut_by_tokens(suffix: str) -> None:
    assert near_tokens(Characters().encode(suffix), Characters().to_bytes) == SUFFIX_TOKENS


def test_other_files_and_the_name_of_the_own_one_stay_around_the_rest() -> None:
    encode = Characters().encode
    window = Window("x", "\nbelow" * 20, extra=(("b.py", "b"),), filename="a.py")
    text = PROMPTS.prompt(window, 4000, heal=False).ids
    start = [
        5,
        *encode("b.py\nb\n"),
        5,
        *encode("a.py\nbelow" + 9 * "\nbelow"),
        5,
        *encode("a.py\n"),
    ]
    assert text[: len(start) + 2] == [*start, 1, *encode("x")]


def test_a_suffix_first_prompt_has_all_of_it() -> None:
    below = "\nbelow" * 200
    assert _ids("x", below, "spm") == [3, *Characters().encode(below), 1, 100 + ord("x"), 2]


def test_a_key_costs_the_suffix_and_three_tokens_at_most() -> None:
    above, below = "".join(f"value_{i} = {i}\n" for i in range(60)), "\nbelow = 1" * 300
    before = _ids(above, below)
    for key in "return value_1 + (value_2)":
        above += key
        ids = _ids(above, below)
        assert _evaluated(before, ids) <= SUFFIX_TOKENS + 3
        before = ids


@pytest.mark.parametrize("path", shipped_traces(), ids=lambda path: path.stem)
def test_most_keystrokes_of_a_trace_evaluate_little_more_than_the_suffix(path: Path) -> None:
    prompts = [_ids(ask.prefix, ask.suffix, limit=20_000) for ask in asks(read_trace(path))]
    sizes = [_evaluated(before, ids) for before, ids in pairwise(prompts)]
    typed = sum(size <= SUFFIX_TOKENS + 20 for size in sizes)  # characters between two asks
    assert typed > 0.7 * len(sizes)
