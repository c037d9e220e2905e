"""Names say what they hold: no participle that would fit anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PARTICIPLES = {"found", "asked", "known", "taken", "wanted", "kept", "given", "shown", "told"}
PARTS = ("bench", "demo", "export", "quant", "runtime")


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    for part in PARTS:
        for file in sorted((root / part).rglob("*.py")):
            yield file.relative_to(root).as_posix(), file


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a file gives to variables, parameters, attributes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name


def _participles(source: str) -> list[str]:
    """Return the names in a source that have one of the participles as a word, with their lines."""
    return [
        f"{line}: {name}"
        for line, name in _names(ast.parse(source))
        if PARTICIPLES & set(name.lower().split("_"))
    ]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["1: found"]),
        ("def _told(kept_s): ...", ["1: _told", "1: kept_s"]),
        ("class Asked: ...", ["1: Asked"]),
        ("self._known, reply.known = 1, found", ["1: _known", "1: known"]),
        ("for given in foundry: takenly = given.shown", ["1: given"]),
    ],
)
def test_names_are_seen_where_they_are_given(source: str, names: list[str]) -> None:
    assert sorted(_participles(source)) == sorted(names)


def test_no_name_is_a_participle_that_would_fit_anything(root: Path) -> None:
    problems = {
        name: names
        for name, file in _sources(root)
        if (names := _participles(file.read_text(encoding="utf-8")))
    }
    assert not problems
