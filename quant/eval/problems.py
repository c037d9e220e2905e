"""Problems of HumanEval and of its infilling variants, as they are published: JSON lines."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import EvalError
from .judging.sandbox import Task

FIELDS = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Problem:
    """One problem; its published program is prompt + canonical_solution + suffix."""

    task_id: str
    prompt: str
    canonical_solution: str
    test: str
    entry_point: str
    suffix: str = ""

    @property
    def published(self) -> str:
        """The program whose solution was published."""
        return self.prompt + self.canonical_solution + self.suffix

    def task(self, program: str) -> Task:
        """Return how `program` is judged.

        What the test uses beside the candidate (`poly` of HumanEval/32) comes from the published
        program, so that a completion cannot redefine it; only what the hole lies in is asked of
        the program.
        """
        names = (self.entry_point, *self._names_in_the_hole())
        unique = tuple(dict.fromkeys(names))
        return Task(program, self.published, unique, self.test, self.entry_point)

    def _names_in_the_hole(self) -> list[str]:
        """Return the top-level functions of the published program that the hole touches."""
        first = self.prompt.count("\n") + 1
        last = (self.prompt + self.canonical_solution.rstrip()).count("\n") + 1
        return [
            node.name
            for node in ast.parse(self.published).body
            if isinstance(node, ast.FunctionDef)
            and node.lineno <= last
            and (node.end_lineno or node.lineno) >= first
        ]


@dataclass(frozen=True)
class Benchmark:
    """A file of problems, and the sha256 of what it says once unpacked."""

    name: str
    sha256: str
    problems: tuple[Problem, ...]
    infilling: bool


def read_benchmark(file: Path, *, infilling: bool = False) -> Benchmark:
    """Read a .jsonl or .jsonl.gz file; the problems of `infilling` have a suffix.

    Raises:
        EvalError: when it cannot be read or a line is not a problem; names the line.

    """
    data = _unpacked(file)
    problems = [
        _problem(line, f"{file}, line {number}", infilling)
        for number, line in enumerate(data.splitlines(), 1)
        if line.strip()
    ]
    if not problems:
        raise EvalError(f"{file} holds no problem; expected one JSON object a line")
    twice = len(problems) - len({problem.task_id for problem in problems})
    if twice:
        raise EvalError(f"{file} repeats {twice} task_id; expected each problem once")
    name = file.name.removesuffix(".gz").removesuffix(".jsonl")
    return Benchmark(name, hashlib.sha256(data).hexdigest(), tuple(problems), infilling)


def _unpacked(file: Path) -> bytes:
    try:
        data = file.read_bytes()
        return gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EvalError(f"{file} is a damaged gzip file: {error}; fetch it again") from error
    except OSError as error:
        raise EvalError(f"{file} cannot be read: {error.strerror}") from error


def _problem(line: bytes, place: str, infilling: bool) -> Problem:
    names = (*FIELDS, "suffix") if infilling else FIELDS
    try:
        content = json.loads(line)
    except ValueError as error:
        raise EvalError(f"{place} is not JSON ({error}); expected one problem a line") from error
    if not isinstance(content, dict):
        raise EvalError(f"{place} is not a JSON object; expected one problem a line")
    if "suffix" in content and not infilling:
        raise EvalError(f"{place} has a suffix, so it is for: refact-edge eval infilling")
    wrong = [name for name in names if not isinstance(content.get(name), str)]
    if wrong:
        only = " (plain HumanEval is for: refact-edge eval humaneval)" * (wrong == ["suffix"])
        raise EvalError(f"{place} has no text as {', '.join(wrong)}{only}")
    return _checked(Problem(**_picked(content, names)), place)


def _picked(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    return {name: content[name] for name in names}


def _checked(problem: Problem, place: str) -> Problem:
    """Refuse what no program could pass."""
    for what, source in (("published program", problem.published), ("test", problem.test)):
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise EvalError(
                f"{place}: the {what} is not Python {error}; expected HumanEval's format"
            ) from error
    return problem
