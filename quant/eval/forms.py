"""Prompt forms: how a problem is put to the model, and how its answer becomes a program.

`ltr`    the prompt without blanks around it, left to right; infilling: the text before the hole
         alone.
`fim`    fill-in-the-middle in the order that the model was trained with; `spm` suffix first,
         `psm` prefix first. Infilling shows the raw text on both sides.
`chat`   a question that holds the prompt; the code is taken out of the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...runtime.engine.sampling import Sampling
from ...runtime.errors import OptionError
from ...runtime.model import Model
from ...runtime.stream import Stream
from ...runtime.text.cursor import Cursor
from ...runtime.text.endings import NO_ENDINGS
from ...runtime.text.limits import Limits
from .cuts import CODE, CODE_STOPS, OWN, apply, infilling_cut, is_complete
from .presets import OWN_QUESTION, Question
from .problems import Problem

LTR, FIM, SPM, PSM, CHAT = "ltr", "fim", "spm", "psm", "chat"
HUMANEVAL_FORMS = (LTR, FIM, SPM, PSM, CHAT)
INFILLING_FORMS = (FIM, SPM, PSM, LTR)

FENCE = "\n```"
_BLOCK = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


def check_form(form: str, *, infilling: bool) -> None:
    """Refuse a form that the benchmark does not have.

    Raises:
        OptionError: with those it has.

    """
    forms = INFILLING_FORMS if infilling else HUMANEVAL_FORMS
    if form not in forms:
        raise OptionError(f"form {form!r}; expected one of: {', '.join(forms)}")


def form_for(model: Model, form: str) -> str:
    """Return the form in which a model is asked: its own order for `fim`.

    Raises:
        OptionError: when the model was not taught that form; says which it was.

    """
    layouts = model.layouts
    orders = layouts.hole_orders
    if form == FIM:
        if not orders:
            raise OptionError("this model was not trained to fill holes; try --form ltr")
        return layouts.fim_default if layouts.fim_default in orders else orders[0]
    if form == CHAT and not layouts.chat:
        raise OptionError("this model has no chat format: it is a base model; try --form ltr")
    if form in (SPM, PSM) and form not in orders:
        raise OptionError(
            f"this model was trained with: {', '.join(orders) or 'no order of holes'}; not {form}"
        )
    return form


@dataclass(frozen=True)
class Solution:
    """A completion, cut; the program that it makes; `finish` as `Stream.finish`."""

    completion: str
    program: str
    finish: str = ""
    new_tokens: int = 0


@dataclass(frozen=True)
class Writer:
    """Puts problems to a model in one form."""

    model: Model
    form: str
    infilling: bool
    max_tokens: int
    question: Question = OWN_QUESTION

    def write(self, problem: Problem, sampling: Sampling) -> Solution:
        """Generate one solution.

        Raises:
            PromptError: when the prompt does not fit the model's context.

        """
        cut = self._cut(problem)
        text = ""
        with self._stream(problem, sampling) as stream:
            for piece in stream:
                text += piece
                if is_complete(text, cut):
                    break
        finish = "stop" if is_complete(text, cut) else stream.finish
        completion = apply(text, cut)
        if self.form == CHAT:
            completion = self.question.begun + completion
        program = build_program(problem, completion, self.form, self.infilling)
        return Solution(completion, program, finish, stream.usage.new)

    def _cut(self, problem: Problem) -> str:
        if self.infilling:
            return infilling_cut(problem.task_id)
        return OWN if self.form == CHAT else CODE

    def _stream(self, problem: Problem, sampling: Sampling) -> Stream:
        model, most = self.model, self.max_tokens
        stop = () if self.infilling else CODE_STOPS
        if self.form == CHAT:
            question = self.question.text.format(prompt=problem.prompt.strip())
            turns = [{"role": "user", "content": question}]
            if not self.question.begun:
                return model.chat(turns, max_tokens=most, sampling=sampling)
            turns.append({"role": "assistant", "content": self.question.begun})
            return model.chat(turns, max_tokens=most, stop=(FENCE,), sampling=sampling)
        before = problem.prompt if self.infilling else problem.prompt.strip()
        if self.form == LTR:
            return model.generate(before, max_tokens=most, stop=stop, sampling=sampling)
        # `is_complete` says where a solution ends, as published.
        limits = Limits(most, stop=stop, endings=NO_ENDINGS)
        cursor = Cursor(before, problem.suffix, order=self.form)
        return model.complete_at(cursor, limits, sampling=sampling)


def build_program(problem: Problem, completion: str, form: str, infilling: bool) -> str:
    """Return the program that `completion` makes of the problem."""
    if infilling:
        return problem.prompt + completion + problem.suffix
    if form == CHAT:
        return _from_answer(problem, completion)
    return problem.prompt.strip() + completion


def _from_answer(problem: Problem, answer: str) -> str:
    """Return a chat answer's code behind what it needs of the prompt."""
    definition = re.compile(rf"^def {re.escape(problem.entry_point)}\b", re.MULTILINE)
    blocks: list[str] = _BLOCK.findall(answer) or [answer]
    code = next((block for block in blocks if definition.search(block)), blocks[0])
    if not definition.search(code):
        return problem.prompt.rstrip() + "\n" + code  # the body alone
    own = definition.search(problem.prompt)
    return problem.prompt[: own.start() if own else 0] + "\n" + code  # imports and helpers
