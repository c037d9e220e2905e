"""How a problem is put to the model, and how its answer becomes a program."""

from types import SimpleNamespace
from typing import Any

import pytest

from refact_edge.quant.eval.forms import (
    CHAT,
    LTR,
    PSM,
    SPM,
    Writer,
    build_program,
    check_form,
    form_for,
)
from refact_edge.quant.eval.presets import PRESETS
from refact_edge.quant.eval.problems import Problem
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.stream import Usage
from refact_edge.runtime.text.cursor import Cursor
from refact_edge.runtime.text.endings import NO_ENDINGS

PROMPT = '\nimport math\n\n\ndef helper(x):\n    return x\n\n\ndef f(x):\n    """Doc."""\n'
PROBLEM = Problem("HumanEval/0", PROMPT, "    return x\n", "def check(c): pass\n", "f")
HOLE = Problem("SingleLineInfilling/0/L0", PROMPT, "    y\n", "", "f", "    return y\n")


class Scripted:
    """A model that writes its pieces, and remembers the last call."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces
        self.call: dict[str, Any] = {}

    def __getattr__(self, method: str) -> Any:
        def ask(*arguments: Any, **named: Any) -> "Scripted":
            self.call = {"method": method, "arguments": arguments, **named}
            self.read = 0
            return self

        return ask

    def __iter__(self) -> Any:
        for piece in self.pieces:
            self.read += 1
            yield piece

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        self.finish, self.usage = "length", Usage(1, 0, 9)


def _write(problem: Problem, form: str, *pieces: str, infilling: bool = False) -> Any:
    model: Any = Scripted(*pieces)
    return Writer(model, form, infilling, 64).write(problem, GREEDY), model


def test_left_to_right_continues_the_stripped_prompt_and_stops_at_the_margin() -> None:
    answer, model = _write(PROBLEM, LTR, "\n    return x", "\ndef g():", " never read")
    assert model.call["method"] == "generate"
    assert model.call["arguments"] == (PROMPT.strip(),)
    assert model.call["stop"] == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    assert answer.completion == "\n    return x"
    assert answer.program == PROMPT.strip() + "\n    return x"
    assert (answer.finish, model.read) == ("stop", 2)


@pytest.mark.parametrize("order", [SPM, PSM])
def test_infilling_shows_the_raw_text_and_no_blank_line_ends_it(order: str) -> None:
    answer, model = _write(HOLE, order, "\n", "    y = x", "\n    more", infilling=True)
    assert model.call["method"] == "complete_at"
    cursor, limits = model.call["arguments"]
    assert cursor == Cursor(PROMPT, HOLE.suffix, order=order)
    assert (limits.stop, limits.endings) == ((), NO_ENDINGS)
    assert answer.completion == "\n    y = x\n"
    assert answer.program == PROMPT + "\n    y = x\n" + HOLE.suffix


def test_infilling_left_to_right_shows_no_suffix() -> None:
    _, model = _write(HOLE, LTR, "    y = x\n", infilling=True)
    assert (model.call["method"], model.call["arguments"]) == ("generate", (PROMPT,))


def test_other_holes_end_where_the_model_ends_them() -> None:
    span = Problem("RandomSpanInfillingLight/0", PROMPT, "    y\n", "", "f", "    return y\n")
    answer, _ = _write(span, SPM, "a\n\nb\n", "c", infilling=True)
    assert (answer.completion, answer.finish) == ("a\n\nb\nc", "length")


def test_a_chat_question_holds_the_prompt() -> None:
    _, model = _write(PROBLEM, CHAT, "text")
    (turns,) = model.call["arguments"]
    assert PROMPT.strip() in turns[0]["content"]


WHOLE = "def f(x):\n    return helper(x)\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{WHOLE}```\n",
        f"Here it is:\n```\n{WHOLE}```\nIt calls helper.\n```python\nprint(f(1))\n```",
        f"```python\nprint(1)\n```\nand\n```python\n{WHOLE}```",
        f"```python\n{WHOLE}",
        WHOLE,
    ],
)
def test_a_chat_answers_function_stands_behind_the_prompts_imports_and_helpers(answer: str) -> None:
    program = build_program(PROBLEM, answer, CHAT, infilling=False)
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["f"](7) == 7
    assert program.count("def f(") == 1
    assert "math" in names


def test_a_chat_answer_without_the_function_is_its_body() -> None:
    for answer in ("    return x + 1\n", "```python\n    return x + 1\n```"):
        names: dict[str, Any] = {}
        exec(build_program(PROBLEM, answer, CHAT, infilling=False), names)
        assert names["f"](1) == 2


def test_a_form_that_the_benchmark_lacks_is_refused() -> None:
    for form in ("ltr", "fim", "spm", "psm", "chat"):
        check_form(form, infilling=False)
    with pytest.raises(OptionError, match="form 'chat'; expected one of: fim, spm, psm, ltr"):
        check_form("chat", infilling=True)
    with pytest.raises(OptionError, match="form 'xyz'; expected one of: ltr, fim, spm, psm, chat"):
        check_form("xyz", infilling=False)


def _layouts(fim: dict[str, tuple[int | str, ...]], default: str, chat: bool) -> Any:
    orders = tuple(name for name, parts in fim.items() if "suffix" in parts)
    talk = {"user": ()} if chat else None
    layouts = SimpleNamespace(fim=fim, fim_default=default, chat=talk, hole_orders=orders)
    return SimpleNamespace(layouts=layouts)


QWEN = _layouts({"psm": (1, "prefix", 2, "suffix", 3)}, "psm", chat=True)
BASE = _layouts({"prefix": ("prefix",)}, "prefix", chat=False)


def test_the_models_own_order_is_asked_for_by_its_name() -> None:
    assert form_for(QWEN, "fim") == "psm"
    assert form_for(QWEN, "chat") == "chat"
    both = _layouts({"psm": ("suffix",), "spm": ("suffix",)}, "spm", chat=False)
    assert form_for(both, "fim") == "spm"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("fim", "was not trained to fill holes; try --form ltr"),
        ("psm", "was trained with: no order of holes; not psm"),
        ("chat", "has no chat format"),
    ],
)
def test_a_form_that_the_model_was_not_taught_is_refused(form: str, message: str) -> None:
    assert form_for(BASE, "ltr") == "ltr"
    with pytest.raises(OptionError, match=message):
        form_for(BASE, form)


def test_a_question_with_a_begun_answer_goes_on_from_it() -> None:
    question = PRESETS["qwen2.5-coder-instruct"].question
    model: Any = Scripted("def f(x):\n    return x + 1\n")
    answer = Writer(model, CHAT, False, 64, question).write(PROBLEM, GREEDY)
    turns = model.call["arguments"][0]
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert PROMPT.strip() in turns[0]["content"]
    assert turns[1]["content"].endswith("```python\n")
    assert model.call["stop"] == ("\n```",)
    names: dict[str, Any] = {}
    exec(answer.program, names)
    assert names["f"](1) == 2
