"""Runs that redo the rows of the model card, and what it says of them.

The card names a system, its pass@k and for its own model a temperature. The number of samples where
it is not named, the nucleus of 0.95 (Chen et al. 2021) and how a chat is asked are our guesses,
but for systems whose makers say how they ask. A base model continues the problem's own text; one
that was taught to answer is asked. Systems that the card leaves out have no published figure here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...runtime.bundle.contract import Sizes


@dataclass(frozen=True)
class Question:
    """How a chat is asked: a text with the problem in place of {prompt}, and a begun answer."""

    name: str
    text: str
    begun: str = ""


OWN_QUESTION = Question(
    "own",
    "Complete this Python function. Answer with the whole function in one block of code.\n\n"
    "```python\n{prompt}\n```",
)
# As the maker's evaluation asks (deepseek-ai/DeepSeek-Coder, Evaluation/HumanEval).
_DEEPSEEK = Question(
    "deepseek-coder",
    "Please continue to complete the function. You are not allowed to modify the given code and do "
    "the completion only. Please return all completed function in a codeblock. Here is the given "
    "code to do completion:\n```python\n{prompt}\n```",
)
# As EvalPlus asks, with which Qwen2.5-Coder and Seed-Coder were measured.
_EVALPLUS = Question(
    "evalplus",
    "Please provide a self-contained Python script that solves the following problem in a markdown "
    "code block:\n```\n{prompt}\n```\n",
    "Below is a Python script with a self-contained function that solves the problem and passes "
    "corresponding tests:\n```python\n",
)


@dataclass(frozen=True)
class System:
    """A system of the card: how it is asked, and its sizes."""

    family: str
    layers: int
    width: int


@dataclass(frozen=True)
class Preset:
    """Settings of a run; `published` is the card's pass@k of its `system`, in percent."""

    form: str
    samples: int
    temperature: float
    published: dict[int, float] = field(default_factory=dict)
    top_p: float = 0.95
    top_k: int = 0
    question: Question = OWN_QUESTION
    system: System | None = None

    def published_for(self, problems: int, sizes: Sizes, family: str) -> dict[int, float]:
        """Return the card's figures, for its system and a run of all of HumanEval's problems."""
        same = System(family, sizes.layers, sizes.width) == self.system
        return self.published if same and problems == HUMANEVAL_PROBLEMS else {}


def _card(
    form: str,
    published: dict[int, float],
    system: System,
    samples: int = 20,
    temperature: float = 0.2,
) -> Preset:
    return Preset(form, samples, temperature, published, system=system)


_REFACT = System("refact", 32, 2048)
HUMANEVAL_PROBLEMS = 164
DEFAULT = "greedy"
_GREEDY = 0.01
_COMPLETED = Preset("ltr", 1, _GREEDY)
PRESETS = {
    "greedy": _card("ltr", {1: 32.0}, _REFACT, 1, _GREEDY),
    "cool": _card("ltr", {1: 31.5}, _REFACT),
    "warm": _card("ltr", {10: 53.0, 100: 76.9}, _REFACT, 200, 0.8),
    "chat": _card("chat", {1: 38.4, 10: 55.6}, _REFACT),
    "decicoder": _card("ltr", {1: 19.1}, System("starcoder", 20, 2048)),
    "codegen2.5-multi": _card("ltr", {1: 28.4, 10: 47.5}, System("codegen2.5", 32, 4096)),
    "codegen2.5-instruct": _card("ltr", {1: 36.2, 10: 60.87}, System("codegen2.5", 32, 4096)),
    "stablecode": _card("ltr", {1: 20.2, 10: 33.8}, System("starcoder", 32, 2560)),
    "stablecode-instruct": _card(
        "chat", {1: 26.9, 10: 36.2}, System("stablecode-instruct", 32, 2560)
    ),
    "replit-code": _card("ltr", {1: 21.9}, System("replit-code", 32, 2560)),
    "codellama-7b": _card("ltr", {1: 33.5, 10: 59.6}, System("codellama", 32, 4096)),
    "codellama-7b-instruct": _card("chat", {1: 34.8, 10: 64.3}, System("codellama", 32, 4096)),
    "codellama-13b-instruct": _card("chat", {1: 42.7, 10: 71.6}, System("codellama", 40, 5120)),
    "starcoder": _card("ltr", {1: 33.6}, System("starcoder", 40, 6144)),
    "starchat": _card("chat", {1: 33.5}, System("starchat", 40, 6144)),
    "octocoder": _card("chat", {1: 46.2}, System("octocoder", 40, 6144)),
    "octogeex": _card("chat", {1: 44.7}, System("octogeex", 28, 4096)),
    "deepseek-coder": _COMPLETED,
    "deepseek-coder-instruct": Preset("chat", 1, _GREEDY, question=_DEEPSEEK),
    "qwen2.5-coder": _COMPLETED,
    "qwen2.5-coder-instruct": Preset("chat", 1, _GREEDY, question=_EVALPLUS),
    "granite-code": _COMPLETED,
    "granite-code-instruct": Preset("chat", 1, _GREEDY),
    "starcoder2": _COMPLETED,
    "stable-code": _COMPLETED,
    "codegemma": _COMPLETED,
    "codestral": _COMPLETED,
    "qwen3": Preset("chat", 1, _GREEDY),
    "smollm2": _COMPLETED,
    "smollm2-instruct": Preset("chat", 1, _GREEDY),
    "mellum": _COMPLETED,
    "seed-coder": _COMPLETED,
    "seed-coder-instruct": Preset("chat", 1, _GREEDY, question=_EVALPLUS),
}
# The infilling benchmarks have no published figure for any of these.
INFILLING = Preset("fim", 1, 0.0)
