"""Which room of the house may import which: arrows run down, and some never run at all."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PARTS = ("export", "quant", "runtime")
# Files of runtime/ that stand above its rooms, each a room of its own.
ALONE = (
    "runtime.errors",
    "runtime.annotated",
    "runtime.info",
    "runtime.pieces",
    "runtime.stream",
    "runtime.dispatch",
    "runtime.model",
    "runtime.__main__",
)
NEVER = [
    ("runtime.engine", "runtime.text"),
    ("runtime.engine", "runtime.backends"),
    ("runtime.engine", "runtime.store"),
    ("runtime.text", "runtime.engine"),
    ("runtime.text", "runtime.backends"),
    ("runtime.model", "runtime.backends"),
    ("runtime.bundle", "runtime.backends"),
    ("runtime.backends", "runtime.store"),
    ("runtime.machine", "runtime.backends"),
    ("runtime.serve.lsp", "runtime.serve.web"),
    ("runtime.serve.web", "runtime.serve.dialects"),
    ("runtime", "quant"),
    ("runtime", "export"),
    ("quant", "export"),
]

Arrows = dict[str, set[str]]


@pytest.fixture(scope="module")
def arrows(root: Path) -> Arrows:
    """Return what each module imports of this package, by dotted names from the root."""
    files = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for part in PARTS
        for file in (root / part).rglob("*.py")
    }
    return {name: set(_imports(name, file, files)) for name, file in files.items()}


def _imports(name: str, file: Path, files: dict[str, Path]) -> Iterator[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: package.count(".") + 2 - node.level]
            module = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in files else module


def _room(module: str) -> str:
    if _within(module, "export"):  # with architectures/ and reference/ in it
        return "export"
    return module if module in ALONE else module.rpartition(".")[0] or module


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize(("above", "below"), NEVER)
def test_a_room_never_imports_another(above: str, below: str, arrows: Arrows) -> None:
    breaches = [
        f"{module} imports {other}"
        for module, others in arrows.items()
        for other in others
        if _within(module, above) and _within(other, below)
    ]
    assert not breaches


def test_a_dialect_never_imports_another(arrows: Arrows) -> None:
    start = "runtime.serve.dialects."
    breaches = [
        f"{module} imports {other}"
        for module, others in arrows.items()
        for other in others
        if module.startswith(start) and other.startswith(start)
        and module.split(".")[3] != other.split(".")[3]
    ]  # fmt: skip
    assert not breaches


def _in_circles(arrows: Arrows) -> list[str]:
    """Return those that lead to themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        queue = list(arrows[start])
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue += arrows.get(name, ())
        return seen

    return [name for name in arrows if name in reached(name)]


def test_no_rooms_import_each_other_in_a_circle(arrows: Arrows) -> None:
    rooms: Arrows = defaultdict(set)
    for module, others in arrows.items():
        rooms[_room(module)] |= {_room(other) for other in others} - {_room(module)}
    assert not _in_circles(dict(rooms))


def test_no_files_import_each_other_in_a_circle(arrows: Arrows) -> None:
    assert not _in_circles({name: others & arrows.keys() for name, others in arrows.items()})
