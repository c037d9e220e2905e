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
class Preset:
    """Settings of a run; `published` is the card's pass@k in percent, in full precision.

    `layers` and `width` are those of the system that it was published of.
    """

    form: str
    samples: int
    temperature: float
    published: dict[int, float] = field(default_factory=dict)
    top_p: float = 0.95
    top_k: int = 0
    question: Question = OWN_QUESTION
    layers: int = 0
    width: int = 0

    def published_for(self, problems: int, sizes: Sizes) -> dict[int, float]:
        """Return the card's figures, for its system and a run of all of HumanEval's problems."""
        same = (sizes.layers, sizes.width) == (self.layers, self.width)
        return self.published if same and problems == HUMANEVAL_PROBLEMS else {}


def _refact(form: str, samples: int, temperature: float, published: dict[int, float]) -> Preset:
    return Preset(form, samples, temperature, published, layers=32, width=2048)


def _stablecode(form: str, published: dict[int, float]) -> Preset:
    return Preset(form, 20, 0.2, published, layers=32, width=2560)


def _starcoder(form: str, published: dict[int, float]) -> Preset:
    return Preset(form, 20, 0.2, published, layers=40, width=6144)


def _codellama(
    form: str, published: dict[int, float], layers: int = 32, width: int = 4096
) -> Preset:
    return Preset(form, 20, 0.2, published, layers=layers, width=width)


def _codegen25(published: dict[int, float]) -> Preset:
    return Preset("ltr", 20, 0.2, published, layers=32, width=4096)


HUMANEVAL_PROBLEMS = 164
DEFAULT = "greedy"
_GREEDY = 0.01
_COMPLETED = Preset("ltr", 1, _GREEDY)
PRESETS = {
    "greedy": _refact("ltr", 1, _GREEDY, {1: 32.0}),
    "cool": _refact("ltr", 20, 0.2, {1: 31.5}),
    "warm": _refact("ltr", 200, 0.8, {10: 53.0, 100: 76.9}),
    "chat": _refact("chat", 20, 0.2, {1: 38.4, 10: 55.6}),
    "decicoder": Preset("ltr", 20, 0.2, {1: 19.1}, layers=20, width=2048),
    "codegen2.5-multi": _codegen25({1: 28.4, 10: 47.5}),
    "codegen2.5-instruct": _codegen25({1: 36.2, 10: 60.87}),
    "stablecode": _stablecode("ltr", {1: 20.2, 10: 33.8}),
    "stablecode-instruct": _stablecode("chat", {1: 26.9, 10: 36.2}),
    "replit-code": Preset("ltr", 20, 0.2, {1: 21.9}, layers=32, width=2560),
    "codellama-7b": _codellama("ltr", {1: 33.5, 10: 59.6}),
    "codellama-7b-instruct": _codellama("chat", {1: 34.8, 10: 64.3}),
    "codellama-13b-instruct": _codellama("chat", {1: 42.7, 10: 71.6}, layers=40, width=5120),
    "starcoder": _starcoder("ltr", {1: 33.6}),
    "starchat": _starcoder("chat", {1: 33.5}),
    "octocoder": _starcoder("chat", {1: 46.2}),
    "octogeex": Preset("chat", 20, 0.2, {1: 44.7}, layers=28, width=4096),
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
