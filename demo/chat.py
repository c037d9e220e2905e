"""Questions and answers made from the functions of a text that have a docstring.

The question is the docstring's first sentence, the answer is the function without its docstring.
Knows characters only; `samples.py` turns the pair into ids.
"""

from __future__ import annotations

import ast
import json
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from refact_edge.runtime.files.atomic_write import atomic_write

LONGEST_ANSWER = 600
LONGEST_QUESTION = 120

TEMPLATES = (
    "Write a function {name} for this: {task}",
    "Write a Python function: {task}",
    "How do I write {name}({arguments})? {task}",
    "{task}",
    "Implement {name}: {task}",
)


@dataclass(frozen=True)
class Function:
    """A function's name, arguments, task (its docstring's first sentence) and source."""

    name: str
    arguments: str
    task: str
    source: str


def first_sentence(docstring: str) -> str:
    """Return the first sentence on one line, without the full stop's tail."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return paragraph.split(". ")[0]


def without_docstring(lines: list[str], node: ast.FunctionDef) -> str:
    """Return the function's source, dedented, the lines of its docstring left out."""
    docstring = node.body[0]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    last = docstring.end_lineno or docstring.lineno
    code = lines[first : docstring.lineno - 1] + lines[last : node.end_lineno]
    return textwrap.dedent("\n".join(code)).strip()


def functions(text: str) -> Iterator[Function]:
    """Yield the text's documented functions that are short enough to answer a question."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files hold invalid escapes
            tree = ast.parse(text)
    except SyntaxError:  # lib2to3 keeps Python 2 files
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or len(node.body) < 2:
            continue
        task = first_sentence(ast.get_docstring(node) or "")
        if not 10 <= len(task) <= LONGEST_QUESTION or node.body[1].lineno <= node.body[0].lineno:
            continue
        source = without_docstring(lines, node)
        if len(source) <= LONGEST_ANSWER:
            arguments = ", ".join(argument.arg for argument in node.args.args)
            yield Function(node.name, arguments, task, source)


def question(function: Function, random: Random) -> str:
    """Ask for the function in one of a few ways."""
    template = random.choice(TEMPLATES)
    return template.format(name=function.name, arguments=function.arguments, task=function.task)


def save_functions(functions: Sequence[tuple[str, Function]], file: Path) -> None:
    """Write one JSON line a function, with the split that its file belongs to."""
    lines = [json.dumps({"split": split, **asdict(function)}) for split, function in functions]
    with atomic_write(file) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_functions(file: Path, split: str) -> list[Function]:
    """Return the functions of one split that `save_functions` wrote."""
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Function(**{key: value for key, value in row.items() if key != "split"})
        for row in rows
        if row["split"] == split
    ]
