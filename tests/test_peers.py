"""Measuring beside other engines: whose turn it is, what was typed, what a ratio is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click import ClickException

from bench.peers.__main__ import files_for
from bench.peers.engines import GROUPS, Runner
from bench.peers.prompts import Prompt, Prompter, asks_with_answers, typed_next
from bench.peers.tables import (
    AIMS,
    COLD,
    PART,
    PEAK,
    Aim,
    Measurements,
    aims_of,
    medians,
    ratio,
    ratios,
)
from bench.peers.work import Piece, keystroke, schedule
from bench.peers.worker import Slot, ask, decode
from refact_edge.runtime.bench.traces import Event, Trace, read_trace, shipped_traces
from refact_edge.runtime.text.cursor import Cursor

OURS, THEIRS = Runner("int4", "int4"), Runner("Q4_0", "Q4_0", "flash", "flash")


def piece(name: str, rounds: int) -> Piece:
    return Piece(name, lambda _runner, _ask: {}, rounds, 1)


def test_every_engine_has_its_turn_before_any_has_another() -> None:
    order = [
        (p.name, r.engine) for p, r in schedule([piece("a", 2), piece("b", 1)], [OURS, THEIRS])
    ]
    assert order == [
        *(("a", "int4"), ("a", "Q4_0"), ("b", "int4"), ("b", "Q4_0")),
        *(("a", "Q4_0"), ("a", "int4")),  # another one begins
    ]


def test_nobody_takes_no_turns() -> None:
    assert list(schedule([piece("a", 2)], [])) == []


def test_the_better_setting_counts_and_is_named() -> None:
    measurements = Measurements()
    for seconds in (3.0, 1.0, 2.0):
        measurements.add(THEIRS, {COLD: seconds})
        measurements.add(Runner("Q4_0", "Q4_0", "no flash"), {COLD: seconds + 1})
    assert measurements.best("Q4_0", COLD) == (2.0, "flash")
    assert "2.00 s (flash)" in medians(measurements)


@pytest.mark.parametrize(
    ("aim", "expected", "met"),
    [
        (Aim("int4", "Q4_0", COLD, 1.5), 2.0, True),
        (Aim("int4", "Q4_0", COLD, 0.4, PART), 0.5, False),
        (Aim("int4", "Q4_0", COLD, 0.1, PART, PEAK), 0.05, True),
        (Aim("int4", "Q4_0", COLD, None), 2.0, True),
    ],
)
def test_a_ratio_is_how_many_times_as_fast_or_which_part(
    aim: Aim, expected: float, met: bool
) -> None:
    measurements = Measurements()
    measurements.add(OURS, {COLD: 1.0})
    measurements.add(THEIRS, {COLD: 2.0, PEAK: 20.0})
    value = ratio(measurements, aim)
    assert value == expected
    assert aim.met(value) is met


def test_what_was_not_measured_is_said() -> None:
    text = ratios(Measurements())
    assert text.count("not measured") == len(AIMS)


def test_every_group_has_one_of_ours() -> None:
    assert all(any(runner.ours for runner in group.runners) for group in GROUPS)


def test_what_is_typed_next_ends_where_something_else_is_edited() -> None:
    events = (
        Event(1, 10, 0, "ab"),
        Event(1, 12, 0, "x"),
        Event(1, 12, 1, "c"),  # a slip put right
        Event(1, 3, 0, "elsewhere"),
        Event(1, 22, 0, "more"),
    )
    assert typed_next(events, 10) == "abc"


def test_what_was_typed_before_the_cursor_is_not_what_comes_next() -> None:
    assert typed_next((Event(1, 9, 1, ""), Event(1, 9, 0, "right")), 10) == ""


def test_every_ask_of_a_trace_has_its_answer() -> None:
    trace = Trace("t", "f", "ab", (Event(1, 1, 0, "x", ask=True), Event(1, 2, 0, "y")))
    assert list(asks_with_answers(trace)) == [("ax", "b", "y")]
    for path in shipped_traces():
        answers = [answer for *_, answer in asks_with_answers(read_trace(path))]
        assert sum(map(bool, answers)) > len(answers) / 2


class Recorder:
    """An engine that keeps what it was fed, since it last forgot something."""

    def __init__(self) -> None:
        self.fed: list[list[int]] = []

    def feed(self, ids: Sequence[int]) -> None:
        self.fed.append(list(ids))

    def rewind(self, tokens: int) -> None:
        self.fed.append([-tokens])


def test_an_answer_goes_on_from_the_longest_prefix() -> None:
    engine = Recorder()
    slot = Slot(engine)
    ask(slot, [1, 2, 3], [7, 8])
    reply = ask(slot, [1, 2, 4], [9])
    assert engine.fed == [[0], [1, 2, 3], [7], [-2], [4]]
    assert (reply["cached"], reply["new"]) == (2, 1)
    assert slot.ids == [1, 2, 4]


def test_the_last_id_of_a_prompt_is_always_evaluated() -> None:
    engine = Recorder()
    slot = Slot(engine)
    ask(slot, [1, 2], [3])
    ask(slot, [1, 2], [3])
    assert engine.fed[-1] == [2]


def test_decoding_is_one_by_one_behind_what_is_there() -> None:
    engine = Recorder()
    decode(Slot(engine), [1, 2, 3, 4], depth=2)
    assert engine.fed == [[0], [1, 2], [3], [4]]


class Written:
    """Writes the same ids at every cursor."""

    def __init__(self, *ids: int) -> None:
        self.ids = list(ids)

    def at(self, _cursor: Cursor, most: int) -> list[int]:
        return self.ids[:most]


def test_a_real_models_own_text_is_what_all_write(tiny_bundle: Path) -> None:
    texts: Any = Written(7, 8, 9)
    prompt = Prompter(tiny_bundle, texts).prompt("def f(a):", "", "\n    return a")
    assert prompt.text == [7, 8, 9]
    assert list(prompt.ids) == ["spm", "psm"]


def test_a_text_that_ends_early_is_filled_up_where_a_number_of_tokens_is_timed(
    tiny_bundle: Path,
) -> None:
    texts: Any = Written(7)
    first, second = Prompter(tiny_bundle, texts).keystroke()
    assert (first.text[0], second.text[0]) == (7, 7)
    assert (len(first.text), len(second.text)) == (16, 16)


def test_each_answer_of_ours_is_in_the_models_own_order() -> None:
    asked: list[str] = []

    def ask(_do: str, **request: Any) -> dict[str, Any]:
        asked.append(request["slot"])
        return {"first_s": 1.0, "all_s": 2.0}

    prompt = Prompt("a", "b", {"psm": [1], "spm": [2]}, [3])
    piece = keystroke(prompt, prompt, 1)
    measures = piece.run(THEIRS, ask)
    assert asked == ["flash psm", "flash psm", "flash spm", "flash spm"]
    assert "keystroke to first token, psm" in measures


def test_what_is_aimed_at_follows_the_models_order_and_the_cpu() -> None:
    wide, narrow = aims_of(("psm",), "amx"), aims_of(("psm",), "avx2")
    assert (wide[0].ratio, narrow[0].ratio) == (2.5, 2.0)
    assert any(aim.measure == "keystroke to 16 tokens, psm" for aim in wide)
    assert not any("spm" in aim.measure for aim in wide)


def test_a_folder_without_a_checkpoint_is_refused_and_each_model_has_a_place_of_its_own(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ClickException, match=r"holds no config\.json"):
        files_for(tmp_path, tmp_path, quick=False)
    files = files_for(tmp_path, tiny_checkpoint, quick=False)
    assert files.checkpoint == tiny_checkpoint
    assert files.bundle == tmp_path / tiny_checkpoint.name / "bundle"
    assert files_for(tmp_path, None, quick=True).bundle == tmp_path / "quick" / "bundle"
