"""What a real model writes: answers, what fills a hole, pieces, and where it ends."""

from __future__ import annotations

import pytest

from refact_edge import Limits, Model, Sampling
from refact_edge.runtime.text.cursor import Cursor

GREEDY = Sampling(temperature=0)

# Each with what a right answer holds.
QUESTIONS = [
    ("What is the capital of France?", "Paris"),
    ("Write a Python function that returns a string reversed.", "[::-1]"),
    ("What is 2 + 3?", "5"),
    ("How many days are there in a week?", "7"),
]
# Text before and behind the hole, and a line that fills it.
HOLES = [
    (
        "class Point:\n    def __eq__(self, other):\n        if not isinstance(other, Point):\n"
        "            ",
        "\n        return self.value == other.value\n",
        "return False",
    ),
    (
        "def quicksort(arr):\n    if len(arr) <= 1:\n        return arr\n"
        "    pivot = arr[len(arr) // 2]\n    ",
        "\n    middle = [x for x in arr if x == pivot]\n"
        "    right = [x for x in arr if x > pivot]\n"
        "    return quicksort(left) + middle + quicksort(right)\n",
        "left = [x for x in arr if x < pivot]",
    ),
    (
        'import os\n\ndef size_of(path):\n    """Return the size of all files under a folder."""\n'
        "    total = 0\n    for root, dirs, files in os.walk(path):\n        for name in files:\n"
        "            ",
        "\n    return total\n",
        "total += os.path.getsize(os.path.join(root, name))",
    ),
]
# Of a model of that width, by a variant: SmolLM2-135M and Qwen2.5-Coder-0.5B, as they were seen.
MISSED = {
    (896, "int8", HOLES[1][2]),
}
CODE = "def fibonacci(n):\n    if n < 2:\n        return n\n    return"


def fills(model: Model) -> bool:
    """Whether the model was trained to fill holes: some order has more than the prefix."""
    return any("suffix" in parts for parts in model.layouts.fim.values())


def expect_of(model: Model, what: str) -> None:
    """Expect a failure of what a rounded model is known not to know."""
    if (model.bundle.sizes.width, model.variant, what) in MISSED:
        pytest.xfail(f"{model.variant} of this model misses {what!r}")


@pytest.mark.parametrize(("question", "answer"), QUESTIONS)
def test_questions_are_answered(model: Model, question: str, answer: str) -> None:
    turns = [{"role": "user", "content": question}]
    said = "".join(model.chat(turns, max_tokens=160, sampling=GREEDY))
    if answer not in said:
        expect_of(model, question)
    assert answer in said


def test_an_answer_ends_by_itself(model: Model) -> None:
    turns = [{"role": "user", "content": QUESTIONS[0][0]}]
    stream = model.chat(turns, max_tokens=60, sampling=GREEDY)
    text = "".join(stream)
    assert stream.finish == "stop"
    assert "<|" not in text


def test_holes_are_filled_as_their_surroundings_ask(model: Model) -> None:
    if not fills(model):
        assert all(parts == ("prefix",) for parts in model.layouts.fim.values())
        return
    missed = []
    for before, behind, line in HOLES:
        text = "".join(model.complete(before, behind, max_tokens=40, sampling=GREEDY))
        if not text.strip().startswith(line):
            missed.append(line)
    if len(missed) == 1:
        expect_of(model, missed[0])
    assert not missed


def test_a_completion_ends_before_it_repeats_what_stands_behind_the_cursor(model: Model) -> None:
    before, behind, _ = HOLES[1]
    text = "".join(model.complete(before, behind, max_tokens=60, sampling=GREEDY))
    assert "middle =" not in text or not fills(model)


def test_pieces_of_a_stream_are_the_text_that_its_ids_stand_for(model: Model) -> None:
    prompt = "# Grüße, 世界 🙂 in a comment:\ngreeting = '"
    stream = model.generate(prompt, max_tokens=24, sampling=GREEDY)
    pieces = list(stream)
    again = model.generate(prompt, max_tokens=24, top_logprobs=0, sampling=GREEDY)
    assert "".join(again) == stream.text
    ids = [scored.id for scored in again.scores if scored.id not in model.layouts.special_ids]
    assert "".join(pieces) == stream.text
    assert "�" not in stream.text
    # A character that the last of 24 tokens only begins is no text yet.
    whole = model.tokens.decode(ids)
    begun = "�" if stream.finish == "length" and whole.endswith("�") else ""
    assert whole == stream.text + begun
    assert stream.usage.new == 24 or stream.finish == "stop"


def test_a_broken_word_is_written_anew(model: Model) -> None:
    """None of these pieces is one that the tokenizer would cut the word into."""
    for typed in ("fibo", "fibon", "fibonac", "fibonacc"):
        before = f"{CODE} {typed}"
        pieces = model.complete(before, multiline=False, max_tokens=24, sampling=GREEDY)
        assert (typed + "".join(pieces)).startswith("fibonacci(")


@pytest.mark.parametrize(("start", "length"), [(1, 3), (6, 2), (9, 9), (20, 1)])
def test_a_stop_string_ends_the_text_before_it_wherever_tokens_are_cut(
    model: Model, start: int, length: int
) -> None:
    cursor = Cursor(CODE)

    def text(*stops: str) -> str:
        limits = Limits(max_tokens=40, stop=["\n\n\n", *stops])
        return "".join(model.complete_at(cursor, limits, sampling=GREEDY))

    whole = text()
    stop = whole[start : start + length]
    assert text(stop) == whole.partition(stop)[0]
