"""Commands in the documentation: their help, and every line that a reader may type."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from refact_edge.runtime.bench.cli import bench
from refact_edge.runtime.console.cli import cli

PAGES = ("*.md", "docs/*.md", "examples/*.md", "demo/*.md", "bench/*.md")
_OPTION = re.compile(r"--[a-z][a-z0-9-]*")


def _lines(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the page and the words of every indented or quoted line that begins with a command."""
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            text = page.read_text(encoding="utf-8").replace("\\\n", " ")
            codes = re.findall(r"^ {4,}((?:refact-edge|make) .*)$", text, re.MULTILINE)
            codes += re.findall(r"^ {4,}.*\| (refact-edge .*)$", text, re.MULTILINE)
            codes += re.findall(r"`((?:refact-edge|make) [^`]*)`", text)
            for code in codes:
                yield page.name, _words(code)


def _words(code: str) -> list[str]:
    lexer = shlex.shlex(code, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = list(lexer)
    return words[: next((i for i, word in enumerate(words) if word in {"|", ">", ";"}), len(words))]


def _command(words: list[str]) -> click.Command | None:
    """Return the command that a line calls, the inner one of a group; None where there is none."""
    context = click.Context(cli)
    command: click.Command | None = cli.get_command(context, words[1])
    if isinstance(command, click.Group):
        inner = command.get_command(context, words[2]) if len(words) > 2 else None
        return inner or (command.commands["throughput"] if command is bench else command)
    return command


def _exists(words: list[str]) -> bool:
    command = _command(words)
    if command is None:
        return False
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    used = {match[0] for word in words[2:] if (match := _OPTION.match(word))}
    return used <= {*options, "--help"}


def test_the_page_of_commands_is_their_help(root: Path) -> None:
    """In a process of its own: a command that a test ran alone keeps click's words for --help."""
    code = "import sys; from docs.commands import page; sys.stdout.write(page())"
    command = [sys.executable, "-X", "utf8", "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    same = (root / "docs" / "commands.md").read_text(encoding="utf-8") == done.stdout
    assert same, "the commands' help has changed; expected docs/commands.md to follow: make docs"


def test_every_command_and_option_is_there(root: Path) -> None:
    lines = [
        (page, words)
        for page, words in _lines(root)
        if words[0] == "refact-edge" and len(words) > 1 and not words[1].startswith("-")
    ]
    wrong = [f"{page}: {shlex.join(words)}" for page, words in lines if not _exists(words)]
    assert wrong == []
    assert len(lines) > 60


def test_every_make_target_is_there(root: Path) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    used = {words[1] for _, words in _lines(root) if words[0] == "make" and len(words) > 1}
    assert used <= targets
    assert {"demo", "test", "wheel"} <= used


def test_every_make_target_has_a_line_of_help(root: Path) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(phony[1].split()) == documented


def test_the_test_command_is_the_one_that_is_run_for_every_change(root: Path) -> None:
    assert "\n    make test\n" in (root / "README.md").read_text(encoding="utf-8")
    assert "make test" in (root / ".ci" / "run").read_text(encoding="utf-8")
