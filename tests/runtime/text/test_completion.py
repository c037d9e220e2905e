"""From a cursor in a file of any length to a prompt."""

import pytest

from refact_edge.runtime.text.completion import CursorPrompts, Window, window_at
from refact_edge.runtime.text.cursor import Cursor
from refact_edge.runtime.text.prompts import Layouts

LAYOUTS = Layouts(
    "spm",
    {"spm": (3, "suffix", 1, "prefix", 2)},
    ("{}",),
    (),
    None,
    (),
    (0,),
    frozenset({0, 1, 2, 3}),
)


class Characters:
    """A tokenizer with one id a character."""

    def encode(self, text: str) -> list[int]:
        return [100 + ord(character) for character in text]

    def to_bytes(self, token_id: int) -> bytes:
        return chr(token_id - 100).encode()


def _window(prefix: str, suffix: str, context: int, *, multiline: bool = True) -> Window:
    return window_at(Cursor(prefix, suffix, multiline=multiline), context)


@pytest.mark.parametrize("lines", [0, 1, 31, 1000, 1013])
def test_no_more_of_a_long_file_is_looked_at_than_could_fit_and_the_prompt_is_the_same(
    lines: int,
) -> None:
    prefix = "".join(f"first{i}\n" for i in range(lines)) + "above\n" * 5000 + "x = "
    suffix = "\nbelow" * 5000
    prompts = CursorPrompts(Characters(), LAYOUTS)  # type: ignore[arg-type] # all that it needs
    near, whole = (_window(prefix, suffix, context) for context in (500, 10**6))
    assert len(near.prefix) < len(prefix)
    assert len(near.suffix) < len(suffix)
    assert len(whole.prefix) == len(prefix)
    assert prompts.prompt(near, 500) == prompts.prompt(whole, 500)


def test_the_start_of_what_is_looked_at_moves_seldom() -> None:
    starts = {
        len(text) - len(_window(text, "", 10).prefix) for text in ("x" * n for n in range(999))
    }
    assert starts == {160 * n for n in range(6)}


def test_windows_line_ends_are_seen_where_the_rest_of_the_line_is_hidden() -> None:
    window = _window("a", "b\r\n", 100, multiline=False)
    assert (window.suffix, window.line_end) == ("\n", "\r\n")
    assert _window("a", "b", 100, multiline=False) == Window("a", "")
